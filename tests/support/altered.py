"""Owns requests that are right but for a few of their parts: a parameter, a field, a name.

Random bodies end at the first of their many faults; these come to what lies behind.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from hyper.schema.fields import Support
from hyper.schema.routes import DOCKER_ROUTES
from tests.support import reading, specification

NOWHERE = "127.0.0.1:1"
EMPTY_TAR = b"\0" * 1024
# Operations that do something here, and are not asked for their refusal alone.
SERVED = [
    route.operation
    for route in DOCKER_ROUTES
    if route.support is not Support.REFUSED and route.status < 400 and "plugin" not in route.handler
]
_STRANGE = (
    "", " ", "0", "-1", "1e9", "a\0b", "%00", "..", "../../etc", "/", "//", "a" * 300, "\N{BOMB}",
    "{}", "[]", '{"a": 1}', '{"label": {"a": true}}', "true", "host", "container:", "sha256:",
    "x:y:z", "\r\nX: y",
)  # fmt: skip
_STRANGE_VALUES = (
    None, True, False, 0, -1, 2**31, 2**63, 1.5, 1e300, [], [None], [[]], {}, {"": ""}, {"a": None},
    ["a", 1], *_STRANGE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Right:
    """A request that succeeds; `kind` is of the object its path names, `fixed` is never altered."""

    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    kind: str = ""
    fixed: tuple[str, ...] = ()


RIGHT: dict[str, Right] = {
    "ContainerArchive": Right({"path": "/"}),
    "ContainerArchiveInfo": Right({"path": "/"}),
    "ContainerAttach": Right({"logs": "1", "stdout": "1"}, fixed=("stream",)),
    "ContainerCreate": Right(body={"Image": "busybox", "Cmd": ["sleep", "1000"]}),
    "ContainerDelete": Right({"force": "1"}),
    "ContainerExec": Right(body={"Cmd": ["cat"]}, kind="running"),
    "ContainerKill": Right({"signal": "CONT"}, kind="running"),
    "ContainerLogs": Right({"stdout": "1"}, fixed=("follow",)),
    "ContainerPause": Right(kind="running"),
    "ContainerRename": Right({"name": "renamed"}),
    "ContainerResize": Right({"h": "1", "w": "1"}, kind="running"),
    "ContainerRestart": Right({"t": "0"}, fixed=("t",)),
    "ContainerStats": Right({"stream": "0", "one-shot": "1"}, fixed=("stream",)),
    "ContainerStop": Right({"t": "0"}, fixed=("t",)),
    "ContainerTop": Right(kind="running"),
    "ContainerUnpause": Right(kind="paused"),
    "ContainerUpdate": Right(body={"MemoryReservation": 8 << 20}),
    "ContainerWait": Right(kind="made", fixed=("condition",)),
    "DistributionInspect": Right(kind="nowhere"),
    "ExecResize": Right({"h": "1", "w": "1"}, kind="started"),
    "ExecStart": Right(body={"Detach": True}, fixed=("Detach",)),
    "ImageCommit": Right({"container": "made"}, body={}),
    "ImageCreate": Right(
        {"fromSrc": "-", "repo": "imported"}, EMPTY_TAR, fixed=("fromImage", "fromSrc")
    ),
    "ImageDelete": Right(kind="spare"),
    "ImageGetAll": Right({"names": "busybox"}),
    "ImageLoad": Right(body=EMPTY_TAR),
    "ImagePush": Right(kind="nowhere"),
    "ImageTag": Right({"repo": "copy"}),
    "NetworkConnect": Right(body={"Container": "made"}, kind="network"),
    "NetworkCreate": Right(body={"Name": "made"}),
    "NetworkDelete": Right(kind="network"),
    "NetworkDisconnect": Right(body={"Container": "made", "Force": True}, kind="joined"),
    "PutContainerArchive": Right({"path": "/"}, EMPTY_TAR),
    "SystemAuth": Right(body={"serveraddress": NOWHERE}, fixed=("serveraddress",)),
    "SystemEvents": Right({"since": "1", "until": "2"}, fixed=("until",)),
    "VolumeCreate": Right(body={"Name": "made"}),
}
# Answered as by a registry that is not there.
UNREACHABLE = frozenset({"DistributionInspect", "SystemAuth"})
# What takes the connection over needs more than a request.
SKIPPED = frozenset({"ContainerAttachWebsocket"})


@dataclass(frozen=True, slots=True)
class Altered:
    """A request to send; `name` "" means an object of the right kind."""

    operation: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    name: str = ""


def right(operation: str) -> Altered:
    """Return a request that succeeds."""
    known = RIGHT.get(operation, Right())
    return Altered(operation, dict(known.query), known.body, {})


@st.composite
def altered(draw: st.DrawFn, operation: str) -> Altered:
    """Return a request with up to two parts that are not as they should be, or not the usual."""
    known, request = RIGHT.get(operation, Right()), right(operation)
    parameters = [name for name in reading.parameters(operation) if name not in known.fixed]
    schema = reading.body_schema(operation)
    fields = (
        [leaf for leaf in reading.leaves(schema) if leaf[0][-1] not in known.fixed]
        if schema
        else []
    )
    query, body, headers, name = request.query, request.body, request.headers, ""
    for _ in range(draw(st.integers(1, 2))):
        part = draw(st.sampled_from(_parts(parameters, fields, known.kind == "nowhere")))
        if part == "name":
            name = draw(st.sampled_from(_STRANGE))
        elif part == "header":
            headers = {"X-Registry-Auth": draw(st.sampled_from(("!", "e30=", "W10=", "bnVsbA==")))}
        elif part == "query":
            query = query | {draw(st.sampled_from(parameters)): draw(st.sampled_from(_STRANGE))}
        else:
            path, usual = draw(st.sampled_from(fields))
            value = usual if draw(st.booleans()) else draw(st.sampled_from(_STRANGE_VALUES))
            body = reading.with_field(path, value, _with_mount(path, body or {}))
    return Altered(operation, query, body, headers, name)


def _parts(parameters: list[str], fields: list[Any], outside: bool) -> list[str]:
    more = (["query"] * 3 if parameters else []) + (["field"] * 6 if fields else [])
    return [*more, "header"] if outside else [*more, "header", "name"]


def _with_mount(path: reading.Path, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that has the mount of which a field is to be set: never a host's folder."""
    if "Mounts" not in path:
        return body
    kind = "tmpfs" if "TmpfsOptions" in path else "volume"
    host = dict(body.get("HostConfig") or {})
    return body | {"HostConfig": host | {"Mounts": [{"Type": kind, "Target": "/x"}]}}


def path_of(operation: str) -> tuple[str, str]:
    """Return the method and path of an operation, names and all."""
    method, path, _ = specification.operations()[operation]
    return method, path
