"""What a client of an earlier version of the API says and is told: what it knew of."""

from typing import Any

import pytest

from hyper.core import gojson
from hyper.schema.later import SINCE, without_later
from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine

Served = tuple[FakeEngine, Client]
MAC = "02:42:ac:11:00:09"


@pytest.mark.parametrize(("since", "path"), SINCE)
def test_a_field_that_came_later_says_nothing(since: tuple[int, int], path: str) -> None:
    steps = path.replace("[]", ".[]").replace("{}", ".{}").split(".")
    body: Any = "given"
    for step in reversed(steps):
        body = [body, 5] if step == "[]" else {"key" if step == "{}" else step: body, "Other": 1}
    sent = gojson.loads(gojson.json.dumps(body).lower().encode())
    major, minor = since
    assert without_later(sent, since) == sent  # type: ignore[arg-type]
    kept = str(without_later(sent, (major, minor - 1)))  # type: ignore[arg-type]
    assert "given" not in kept and kept.count("other") == str(sent).count("other")


async def test_create_takes_later_fields_of_later_clients_only(served: Served) -> None:
    engine, client = served
    body = {
        "Image": "busybox",
        "Cmd": ["true"],
        "HostConfig": {"AutoRemove": True, "Annotations": {"a": "b"}},
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": MAC}}},
    }
    shown = {}
    for version in ("v1.24", "v1.50"):
        made = await client("POST", f"/{version}/containers/create", body)
        shown[version] = (await client("GET", f"/containers/{made.body['Id']}/json")).body
    old, new = shown["v1.24"]["HostConfig"], shown["v1.50"]["HostConfig"]
    assert (old["AutoRemove"], new["AutoRemove"]) == (False, True)
    assert "Annotations" not in old and new["Annotations"] == {"a": "b"}
    listed = {v: (await client("GET", f"/{v}/containers/json?all=1")).body for v in shown}
    assert not any("Annotations" in item["HostConfig"] for item in listed["v1.24"])
    assert {"a": "b"} in [item["HostConfig"]["Annotations"] for item in listed["v1.50"]]
    for version, wanted in (("v1.41", "linux/arm64"), ("v1.40", "")):
        path = f"/{version}/containers/create?platform=linux/arm64"
        made = (await client("POST", path, body)).body["Id"]
        assert engine.containers.get(made).spec.platform == wanted


async def test_short_ids_were_aliases(client: Client) -> None:
    made = await client.create("true", HostConfig={"NetworkMode": "back"})
    aliases = {}
    for version in ("v1.44", "v1.45"):
        shown = (await client("GET", f"/{version}/containers/{made}/json")).body
        networks = shown["NetworkSettings"]["Networks"]
        aliases[version] = [endpoint["Aliases"] for endpoint in networks.values()]
    assert aliases == {"v1.44": [[made[:12]]], "v1.45": [None]}


async def test_older_answers_have_what_was_taken_out(client: Client) -> None:
    container = await client.run("sleep")
    config = {
        v: (await client("GET", f"/{v}/images/busybox/json")).body["Config"]
        for v in ("v1.49", "v1.50")
    }
    assert config["v1.49"]["Hostname"] == "" and "Hostname" not in config["v1.50"]
    assert config["v1.49"]["Env"] == config["v1.50"]["Env"]
    listed = {v: (await client("GET", f"/{v}/networks")).body for v in ("v1.27", "v1.28")}
    members = {v: {m for net in nets for m in net["Containers"]} for v, nets in listed.items()}
    assert members == {"v1.27": {container}, "v1.28": set()}
    options = (await client("GET", "/v1.24/info")).body["SecurityOptions"]
    assert options[0] == "seccomp"
    assert (await client("POST", f"/v1.29/containers/{container}/kill")).status == 204
    assert (await client("POST", f"/v1.29/containers/{container}/wait?condition=x")).status == 200
    assert (await client("POST", f"/v1.30/containers/{container}/wait?condition=x")).status == 400
