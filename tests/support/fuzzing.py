"""Owns random requests made from Docker's specification (schemathesis), and judging replies.

A reply must be one the specification lists for the operation and fit its schema. The specification
lists few of the statuses dockerd answers; what else is a right answer is `ALSO_RIGHT`.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
import yaml
from docker.transport import UnixHTTPAdapter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case as AnyCase

from hyper.schema.fields import Support
from hyper.schema.routes import DOCKER_ROUTES
from tests.support import specification
from tests.support.altered import NOWHERE, RIGHT, Altered, Right, altered, path_of

# dockerd answers these without the specification saying so: a parameter or body that cannot be
# (400), an object that is not there (404), a state that does not allow it (409).
ALSO_RIGHT = frozenset({400, 404, 409})
REFUSED = {
    route.operation: route.status for route in DOCKER_ROUTES if route.support is Support.REFUSED
}
# Operations whose answer goes on for as long as the client listens.
ENDLESS = frozenset(
    "SystemEvents ContainerStats ContainerLogs ContainerAttach ContainerWait ExecStart "
    "ContainerAttachWebsocket".split()
)
_MAXIMUM_BYTES = 1 << 20
Names = dict[str, list[str]]
Case = AnyCase[Any]


@schemathesis.serializer("application/x-tar")
def _tar(_context: Any, value: Any) -> bytes:
    """Return what is sent as an archive: nearly always none."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@functools.cache
def operations() -> dict[str, Any]:
    """Return schemathesis' view of every operation, by the specification's id."""
    with open(specification.PATH) as file:
        raw = yaml.load(file, yaml.CSafeLoader)
    schema = schemathesis.openapi.from_dict(raw)
    found = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        found[operation.definition.raw["operationId"]] = operation
    return found


def cases(operation_id: str) -> st.SearchStrategy[Case]:
    """Return requests for an operation: those that fit its parameters, and those that do not."""
    operation = operations()[operation_id]
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    try:
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        wrong.validate()
    except Exception:  # it has no parameter that could be wrong
        return right
    return st.one_of(right, wrong)


def fuzz(fuzzer: "Fuzzer", operation_id: str, examples: int, *, fresh: bool = False) -> None:
    """Send `examples` random requests of an operation; the same ones each time unless `fresh`."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=not fresh,
        database=None,
        phases=[Phase.generate],  # the request is shown whole: a smaller one says no more
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(operation_id), st.data())
    def check(case: Case, data: st.DataObject) -> None:
        fuzzer.check(operation_id, case, lambda names: data.draw(st.sampled_from(names)))

    check()


def alter(fuzzer: "Fuzzer", operation_id: str, examples: int, *, fresh: bool = False) -> None:
    """Send `examples` requests of an operation that are nearly right; see `fuzz`."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=not fresh,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(altered(operation_id))
    def check(request: Altered) -> None:
        fuzzer.ask(request)

    check()


@dataclass(slots=True)
class Fuzzer:
    """Sends requests to one daemon; `names` are those of objects that exist there, per prefix.

    `renew` brings back what earlier requests took away, and makes an object of a kind asked for.
    """

    socket: str
    names: Names
    timeout_s: float
    renew: Callable[["Fuzzer", str], None]
    _session: requests.Session = field(default_factory=requests.Session)
    _ready_for: str = ""

    def __post_init__(self) -> None:
        self._session.mount("http://", UnixHTTPAdapter(f"http+unix://{self.socket}"))

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request of the test's own."""
        url = f"http://localhost{path}"
        return self._session.request(method, url, timeout=60, **arguments)

    def _renew(self, operation_id: str, method: str, kind: str) -> None:
        """Renew, unless only questions were asked since."""
        if method not in ("GET", "HEAD") or self._ready_for != operation_id:
            self.renew(self, kind)
            self._ready_for = operation_id

    def check(self, operation_id: str, case: Case, choose: Callable[[list[str]], str]) -> None:
        """Send a request, aimed at an object that exists, and judge the reply."""
        self._renew(operation_id, case.method.upper(), "")
        self._aim(case, choose)
        _defuse(case, choose)
        arguments = case.as_transport_kwargs(base_url="http://localhost")
        arguments["stream"] = True
        endless = operation_id in ENDLESS
        arguments["timeout"] = (20.0, self.timeout_s if endless else 60.0)
        try:
            with self._session.request(**arguments) as reply:
                body = _read(reply)
        except (requests.Timeout, requests.ConnectionError) as err:
            if endless and "timed out" in str(err):
                return
            raise
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
            return  # no HTTP client can send it
        described = f"{case.as_curl_command()}\n-> {reply.status_code} {body[:600]!r}"
        _judge(operation_id, described, case.method.upper(), reply, body)

    def ask(self, request: Altered) -> int:
        """Send a request that is nearly right, judge the reply, return its status."""
        method, path = path_of(request.operation)
        kind = RIGHT.get(request.operation, Right()).kind or path.split("/")[1]
        self._renew(request.operation, method, kind)
        name = quote(request.name or self.names.get(kind, [""])[0], safe="")
        path = path.replace("{id}", name).replace("{name}", name)
        sent: dict[str, Any] = {"params": request.query, "headers": dict(request.headers)}
        sent["data" if isinstance(request.body, bytes) else "json"] = request.body
        endless = request.operation in ENDLESS
        sent["timeout"] = (20.0, self.timeout_s if endless else 60.0)
        try:
            url = f"http://localhost{path}"
            with self._session.request(method, url, stream=True, **sent) as reply:
                body = _read(reply)
        except (requests.Timeout, requests.ConnectionError) as err:
            if endless and "timed out" in str(err):
                return 0
            raise
        except (
            requests.exceptions.InvalidHeader,
            requests.exceptions.InvalidJSONError,
            UnicodeError,
        ):
            return 0  # no HTTP client can send it
        described = f"{method} {path} {sent}\n-> {reply.status_code} {body[:600]!r}"
        _judge(request.operation, described, method, reply, body)
        return reply.status_code

    def _aim(self, case: Case, choose: Callable[[list[str]], str]) -> None:
        """Replace most random names in the path by real ones: those find more."""
        kind = case.path.split("/")[1]
        for parameter in ("id", "name"):
            if parameter in (case.path_parameters or {}) and kind in self.names:
                wanted = choose(self.names[kind])
                if wanted:
                    case.path_parameters[parameter] = wanted


def _defuse(case: Case, choose: Callable[[list[str]], str]) -> None:
    """Keep a request from reaching outside: no other registry, no folder of the host, no wait."""
    query, body = case.query, case.body
    for key, harmless in (("fromImage", f"{NOWHERE}/x"), ("fromSrc", "-")):
        if isinstance(query, dict) and isinstance(query.get(key), str):
            query[key] = harmless
    if isinstance(query, dict) and str(query.get("t", "")).lstrip("-").isdigit():
        query["t"] = "0"  # to wait for as long as was asked for is no fault
    if case.path == "/auth" and isinstance(body, dict):
        body["serveraddress"] = NOWHERE  # without one it is Docker Hub
    if case.path.startswith("/distribution") or case.path.endswith("/push"):
        case.path_parameters["name"] = f"{NOWHERE}/x"
    if isinstance(body, dict):
        if case.path == "/auth":
            body["serveraddress"] = NOWHERE  # none would mean Docker Hub
        config = body.get("HostConfig")
        if isinstance(config, dict):
            config.pop("Binds", None)
            config.pop("Mounts", None)
        if "Image" in body and choose(["", "image"]):
            body["Image"] = "busybox"
        body.pop("DriverOpts", None)


def _read(reply: requests.Response) -> bytes:
    data = b""
    for chunk in reply.iter_content(65536):
        data += chunk
        if len(data) > _MAXIMUM_BYTES:
            break
    return data


def _judge(
    operation_id: str, described: str, method: str, reply: requests.Response, body: bytes
) -> None:
    status, kind = reply.status_code, reply.headers.get("Content-Type", "")
    right = specification.statuses(operation_id) - {500} | ALSO_RIGHT
    if b": connect: connection refused" in body:
        right = right | {503}  # a registry that does not answer; dockerd says 500
    if operation_id in REFUSED:
        right = right | {REFUSED[operation_id]}
    if b" is not supported: " in body:
        right = right | {501}  # docs/docker-api.md has every field and endpoint that is refused
    assert status in right, f"undocumented status {status}: {described}"
    if status >= 400:
        assert kind.startswith("application/json"), described
        if method != "HEAD":
            assert set(json.loads(body)) == {"message"}, described
            assert json.loads(body)["message"].strip(), described
    elif kind.startswith("application/json"):
        for line in body.splitlines():
            specification.check_reply(operation_id, status, json.loads(line))
