"""Every parameter and every field of the specification is read: none is accepted and ignored."""

from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from hyper.core import gojson
from hyper.schema.fields import Support
from hyper.schema.parameters import PARAMETERS
from hyper.schema.routes import DOCKER_ROUTES
from tests.support import reading, specification
from tests.support.api_client import Client
from tests.support.reading import Seen

SERVED = [
    route.operation
    for route in DOCKER_ROUTES
    if route.support is not Support.REFUSED and route.status < 400 and "plugin" not in route.handler
]
WITHOUT_EFFECT = {
    (each.operation, name)
    for each in PARAMETERS
    if each.note.startswith("no effect")
    for name in each.name.replace("EndpointSettings: ", "").split(", ")
}
NOWHERE = "127.0.0.1:1/x"
# Without these an operation ends before it has read the others.
NEEDED = {
    "container": "alive",
    "path": "/",
    "stdout": "1",
    "h": "1",
    "w": "1",
    "names": "busybox",
    "name": "other",
    "t": "0",
}
QUERIES: dict[str, list[dict[str, str]]] = {
    "ContainerArchive": [NEEDED, NEEDED | {"path": "/etc"}],
    "ImageCreate": [{"fromImage": NOWHERE}, {"fromSrc": "-", "repo": "x"}],
    "ImageCommit": [NEEDED | {"repo": "x"}],
    "ImageTag": [{"repo": "x"}],
}
BODIES: dict[str, dict[str, Any]] = {
    "ContainerCreate": {"Image": "busybox", "Cmd": ["sleep"]},
    "ContainerExec": {"Cmd": ["cat"]},
    "ContainerUpdate": {"RestartPolicy": {"Name": "on-failure"}},
    "NetworkCreate": {"Name": "n"},
    "NetworkConnect": {"Container": "alive"},
    "NetworkDisconnect": {"Container": "alive"},
}
MOUNTS = {
    "BindOptions": {"Type": "bind", "Source": "/tmp", "Target": "/x"},
    "TmpfsOptions": {"Type": "tmpfs", "Target": "/x"},
}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Return what the server reads of requests from here on."""
    seen = Seen()
    monkeypatch.setattr(web.BaseRequest, "query", property(seen.request_query))
    monkeypatch.setattr(gojson, "loads", seen.loads)
    return seen


async def _path(client: Client, operation: str) -> tuple[str, str]:
    """Return method and path of an operation on an object that exists."""
    method, path, _ = specification.operations()[operation]
    await client("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep"]}, name="alive")
    kind = path.split("/")[1]
    name = {"images": "busybox", "volumes": "data", "networks": "bridge"}.get(kind, "alive")
    if kind == "volumes":
        await client("POST", "/volumes/create", {"Name": "data"})
    if "{id}" in path and kind != "networks" and operation != "ContainerStart":
        await client("POST", "/containers/alive/start")
    if kind == "exec":
        name = (await client("POST", "/containers/alive/exec", {"Cmd": ["cat"]})).body["Id"]
    name = NOWHERE if kind == "distribution" else name
    return method, path.replace("{id}", name).replace("{name}", name)


async def _ask(client: Client, method: str, path: str, body: Any, upgrade: bool) -> tuple[int, str]:
    """Send a request; return status and text without waiting for an answer that never ends."""
    url, connector = f"http://hyper{path}", aiohttp.UnixConnector(str(client.path))
    async with aiohttp.ClientSession(connector=connector) as session:
        if upgrade:
            async with session.ws_connect(url) as socket:
                await socket.close()
            return 101, ""
        async with session.request(method, url, json=body) as answer:
            known = answer.content_length is not None
            return answer.status, await answer.text() if known else ""


@pytest.mark.parametrize("operation", [each for each in SERVED if reading.parameters(each)])
async def test_every_parameter_is_read(client: Client, seen: Seen, operation: str) -> None:
    method, path = await _path(client, operation)
    wanted = set(reading.parameters(operation))
    ignored = {name for where, name in WITHOUT_EFFECT if where == operation}
    read: set[str] = set()
    for query in QUERIES.get(operation, [NEEDED]):
        seen.clear()
        given = {name: text for name, text in query.items() if name in wanted}
        url = f"{path}?{urlencode(given)}"
        await _ask(client, method, url, BODIES.get(operation), operation.endswith("Websocket"))
        read |= seen.query
    assert wanted - read == (ignored & wanted) - read, f"{operation} does not read these"


@pytest.mark.parametrize("operation", [each for each in SERVED if reading.body_schema(each)])
async def test_every_field_of_a_body_is_read(client: Client, seen: Seen, operation: str) -> None:
    unread = []
    method, path = await _path(client, operation)
    for field, value in reading.leaves(reading.body_schema(operation)):
        if operation == "ExecStart":  # each starts once
            method, path = await _path(client, operation)
        body = BODIES.get(operation, {})
        if "Mounts" in field:
            kinds = [mount for name, mount in MOUNTS.items() if name in field]
            mount = kinds[0] if kinds else {"Type": "volume", "Target": "/x"}
            body = body | {"HostConfig": {"Mounts": [mount]}}
        seen.clear()
        query = "?container=alive" if operation == "ImageCommit" else ""
        status, text = await _ask(
            client, method, path + query, reading.with_field(field, value, body), False
        )
        assert seen.bodies, (operation, status)
        # For something above it, or for what one value alone cannot say.
        refused = status in (400, 501) and any(step in text for step in (*field, reading.KEY))
        if not refused and not seen.was_read(field):
            unread.append((operation, field))
    names = {name for where, name in WITHOUT_EFFECT if where == operation}
    shown = {".".join(field).replace(".[]", "[]") for _, field in unread}
    assert {
        name for name in shown if name not in names and name.rpartition(".")[2] not in names
    } == set()


async def test_what_is_said_to_have_no_effect_exists() -> None:
    for operation, name in WITHOUT_EFFECT:
        schema = reading.body_schema(operation)
        fields = (
            {".".join(path).replace(".[]", "[]") for path, _ in reading.leaves(schema)}
            if schema
            else set()
        )
        known = {*reading.parameters(operation), *fields, *(f.rpartition(".")[2] for f in fields)}
        assert name in known, (operation, name)
