"""Hyper's own API as its OpenAPI document describes it: every operation once, on one real pod."""

import http.client
import json
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import pytest

from tests.support.daemon import Daemon
from tests.support.pods import BOX

pytestmark = pytest.mark.root  # a played Service needs a network
POD = "/hyper/v1/pods/api"
VOLUME = "/hyper/v1/volumes/api"
SNAPSHOT = f"{VOLUME}/snapshots/one"
SLEEP = {"image": BOX, "command": ["sleep", "600"]}
DOCUMENT = {
    "id": "api",
    "labels": {"a": "b"},
    "annotations": {"note": "n"},
    "interfaces": [{"network": "default", "mtu": 1400}],
    "resource": {"memory": 256, "vcpu": 2},
    "volumes": [{"name": "v", "size": "32m"}],
    "terminationGracePeriod": 0,
    "containers": [
        {"name": "one", **SLEEP, "volumes": [{"volume": "v", "path": "/v", "subpath": "new"}]}
    ],
}
PORT = {"portmappings": [{"containerPort": "80-81"}]}
SERVICE = {
    "name": "s",
    "serviceip": "10.254.0.7",
    "serviceport": 80,
    "hosts": [{"hostip": "127.0.0.1", "hostport": 8080}],
}
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: found}
spec: {selector: {app: played}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: played, labels: {app: played}}
spec:
  nodeName: here
  terminationGracePeriodSeconds: 0
  volumes: [{name: kept, persistentVolumeClaim: {claimName: kept}}]
  containers:
  - name: one
    image: busybox
    command: [sleep, "600"]
    volumeMounts: [{name: kept, mountPath: /k}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


@dataclass
class _Api:
    """Sends requests and holds every answer against the document."""

    socket: Path
    document: dict[str, Any]
    used: set[str] = field(default_factory=set)

    def __call__(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """Send a request that succeeds; return its answer."""
        status, answer = self._send(method, path, body, query)
        assert status < 300, f"{method} {path}: {status}: {answer}"
        return answer

    def fails(
        self, status: int, method: str, path: str, body: object = None, **query: object
    ) -> str:
        """Send a request that fails so; return what the answer says."""
        found, answer = self._send(method, path, body, query)
        assert found == status, f"{method} {path}: {found}: {answer}"
        return str(answer and answer["message"])

    def _send(
        self, method: str, path: str, body: object, query: dict[str, object]
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("hyper", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        target = quote(path) + (f"?{urlencode(query, doseq=True)}" if query else "")
        connection.request(method, target, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        operation = self._operation(method, path)
        said = operation["responses"].get(str(answer.status))
        assert said is not None, f"{method} {path}: {answer.status} is not documented: {data!r}"
        if answer.status < 300:
            self.used.add(operation["operationId"])
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            assert set(query) <= named, f"{method} {path}: undocumented {set(query) - named}"
            for described in operation.get("requestBody", {}).get("content", {}).values():
                jsonschema.validate(body, described["schema"])
        kind = answer.headers.get_content_type()
        return answer.status, self._checked(said.get("content", {}), kind, data)

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        for pattern, methods in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                found: dict[str, Any] = methods[method.lower()]
                return found
        raise AssertionError(f"{path} is not in the document")

    def _checked(self, content: dict[str, Any], kind: str, data: bytes) -> Any:
        if not content:
            assert data == b""
            return None
        schema = {**content[kind]["schema"], "components": self.document["components"]}
        if kind != "application/json":
            return data.decode()
        lines = [json.loads(line) for line in data.splitlines() if line.strip()]
        for line in lines:
            jsonschema.validate(line, schema, jsonschema.Draft202012Validator)
        return lines[0] if len(lines) == 1 else lines


@pytest.fixture
def api(daemon: Daemon) -> _Api:
    """Return the API, described by the document the daemon itself gives."""
    bare = _Api(daemon.socket, {"paths": {}, "components": {}})
    bare.document = {
        "paths": {
            "/hyper/v1/openapi.json": {
                "get": {
                    "operationId": "HyperOpenApi",
                    "responses": {"200": {"content": {"application/json": {"schema": {}}}}},
                }
            }
        },
        "components": {},
    }
    document = bare("GET", "/hyper/v1/openapi.json")
    return _Api(daemon.socket, document)


def test_every_operation_answers_as_documented(
    daemon: Daemon, api: _Api, guest_artifacts: tuple[Path, Path]
) -> None:
    api("GET", "/hyper/v1/openapi.json")
    _changes_of_a_pod(api)
    _errors(api)
    api("DELETE", POD, force=1, v=1)
    _volumes(api, daemon)
    _manifests(api)
    kernel = {"Name": "mine", "Path": str(guest_artifacts[0].resolve())}
    api("POST", "/hyper/v1/kernels", kernel)
    api("GET", "/hyper/v1/kernels")
    api("DELETE", "/hyper/v1/kernels/mine")
    pool = api("GET", "/hyper/v1/pool")
    api("POST", "/hyper/v1/pool", {"Waiting": pool["Waiting"]})
    api("GET", "/hyper/v1/doctor")
    known = {one["operationId"] for each in api.document["paths"].values() for one in each.values()}
    assert known - api.used == {"HyperRun"}  # a stream, and what hyper run itself does


def _changes_of_a_pod(api: _Api) -> None:
    api("POST", "/hyper/v1/pods", DOCUMENT, start=1)
    api("GET", "/hyper/v1/pods", filters='{"label": ["a=b"]}')
    api("POST", f"{POD}/containers", {"Image": BOX, "Cmd": ["sleep", "600"]}, name="two", start=1)
    api("POST", f"{POD}/labels", {"Set": {"c": "d"}, "Remove": ["a"]})
    api("POST", f"{POD}/resize", {"VCpus": 1, "Memory": 128 << 20})
    api("POST", f"{POD}/ports", PORT)
    assert len(api("GET", f"{POD}/ports")) == 2
    api("POST", f"{POD}/services", SERVICE)
    api("GET", f"{POD}/services")
    api("POST", f"{POD}/pause")
    api("POST", f"{POD}/unpause")
    shown = api("GET", POD)
    assert [item["NameInPod"] for item in shown["Containers"]] == ["one", "two"]
    assert shown["Spec"]["Interfaces"] and shown["Spec"]["Volumes"] and shown["Ports"]
    api("GET", "/hyper/v1/memory")
    api("DELETE", f"{POD}/ports", PORT)
    api("DELETE", f"{POD}/services/s")
    api("DELETE", f"{POD}/containers/two", force=1)
    api("POST", f"{POD}/kill", signal="KILL")
    api("POST", f"{POD}/wait")
    api("POST", f"{POD}/restart", t=0)
    api("POST", f"{POD}/stop", t=0)
    api("POST", f"{POD}/start")


def _errors(api: _Api) -> None:
    """What fails is documented as well, with its status."""
    pods = "/hyper/v1/pods"
    for path in ("", "/ports", "/services"):
        assert "No such pod" in api.fails(404, "GET", f"{pods}/nosuch{path}")
    assert "x: there is no such field" in api.fails(400, "POST", pods, {"x": 1})
    small = {"volumes": [{"name": "v", "size": "8m"}]}
    assert "volume v: a disk of 8388608 bytes: 32 MiB" in api.fails(400, "POST", pods, small)
    tight = {"containers": [SLEEP | {"limits": {"memory": "1m"}}]}
    assert "memory limit of 1048576 bytes: 6 MiB" in api.fails(400, "POST", pods, tight)
    file = {"files": [{"name": "f", "contents": "x"}]}
    for paths, said in ((("/proc/f",), "lies below the mount /proc"), (("/a", "//a"), "two files")):
        uses = [{"filename": "f", "path": path} for path in paths]
        hidden = file | {"containers": [SLEEP | {"files": uses}]}
        assert said in api.fails(400, "POST", pods, hidden)
    assert "no such image" in api.fails(404, "POST", pods, {"containers": [{"image": "x"}]}).lower()
    assert "already in use" in api.fails(409, "POST", pods, DOCUMENT)
    api.fails(501, "POST", f"{POD}/resize", {"Memory": 1 << 40})
    api.fails(400, "POST", f"{POD}/kill", signal="NOSUCH")
    api.fails(304, "POST", f"{POD}/start")
    api.fails(409, "POST", f"{POD}/unpause")
    api.fails(400, "POST", f"{POD}/services", SERVICE | {"serviceip": "x"})
    api.fails(404, "DELETE", f"{POD}/services/nosuch")
    api.fails(404, "DELETE", f"{POD}/containers/nosuch")
    api.fails(409, "DELETE", POD)


def _volumes(api: _Api, daemon: Daemon) -> None:
    daemon.hyper("volume", "create", "--opt", "size=32m", "api")
    api("POST", f"{VOLUME}/snapshots", {"Name": "one"})
    api("GET", f"{VOLUME}/snapshots")
    api("POST", f"{SNAPSHOT}/restore")
    api("POST", f"{VOLUME}/resize", {"Size": 64 << 20})
    api.fails(400, "POST", f"{VOLUME}/resize", {"Size": 1})
    api("DELETE", SNAPSHOT)
    api.fails(404, "DELETE", SNAPSHOT)
    daemon.hyper("volume", "rm", "api")


def _manifests(api: _Api) -> None:
    api("POST", "/hyper/v1/play/kube", {"Text": MANIFEST})
    api("GET", "/hyper/v1/services")
    assert "kind: Pod" in api("GET", "/hyper/v1/generate/kube", names="played")
    api.fails(404, "GET", "/hyper/v1/generate/kube", names="nosuch")
    api("DELETE", "/hyper/v1/services/found")
    api.fails(404, "DELETE", "/hyper/v1/services/found")
    api("DELETE", "/hyper/v1/play/kube", {"Text": MANIFEST}, volumes=1)
