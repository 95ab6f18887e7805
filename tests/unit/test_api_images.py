"""/images, /volumes, /networks, /plugins and the daemon's own facts."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine

Served = tuple[FakeEngine, Client]


async def test_list_and_inspect(client: Client) -> None:
    (shown,) = (await client("GET", "/images/json")).body
    assert shown["RepoTags"] == ["busybox:latest"]
    assert shown["Created"] == 1704164645
    for name in ("busybox", "docker.io/library/busybox:latest", shown["Id"], shown["Id"][7:]):
        reply = await client("GET", f"/images/{name}/json")
        assert reply.status == 200, name
        assert reply.body["Config"]["Env"] == ["PATH=/bin", "FROM=image"]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"reference": ["busy*"]}, 1),
        ({"reference": ["busybox:1"]}, 0),
        ({"dangling": ["true"]}, 0),
        ({"dangling": ["false"]}, 1),
        ({"label": ["made=here"]}, 1),
        ({"label!": ["made"]}, 0),
        ({"before": ["busybox"]}, 0),
        ({"until": ["2024-01-01T00:00:00Z"]}, 0),
    ],
)
async def test_image_filters(client: Client, filters: dict[str, Any], count: int) -> None:
    assert len((await client("GET", "/images/json", filters=filters)).body) == count


async def test_a_pull_streams_progress_in_lines(client: Client) -> None:
    reply = await client("POST", "/images/create", fromImage="other", tag="1")
    assert reply.status == 200
    assert reply.lines[0] == {"status": "Pulling from other:1"}
    assert reply.lines[1]["progressDetail"] == {"current": 5, "total": 10}


async def test_a_pull_that_fails_before_its_first_line_has_a_status(client: Client) -> None:
    reply = await client("POST", "/images/create", fromImage="missing", tag="latest")
    assert (reply.status, reply.body["message"]) == (404, "No such image: missing:latest")
    assert (await client("POST", "/images/create", fromImage="UPPER")).status == 400
    assert (await client("POST", "/images/create")).status == 400


async def test_a_pull_that_fails_later_ends_with_the_error(served: Served) -> None:
    engine, client = served
    engine.images.pulling = asyncio.Event()
    async with client.hijack("/images/create?fromImage=broken:latest", upgrade=False) as raw:
        await raw.reader.readuntil(b'"abc"')
        engine.images.pulling.set()
        rest = await raw.reader.readuntil(b'"error"')
    assert b'"errorDetail": {"message": "registry: connection refused"}' in rest


async def test_a_client_that_goes_away_cancels_its_pull(served: Served) -> None:
    engine, client = served
    engine.images.pulling = asyncio.Event()
    async with client.hijack("/images/create?fromImage=slow:latest", upgrade=False) as raw:
        await raw.reader.readuntil(b'"abc"')
    async with asyncio.timeout(60):
        while not engine.images.cancelled:
            await client("GET", "/_ping")


async def test_import_and_push_check_what_they_are_given(client: Client) -> None:
    for source in ("ftp://x/", "http://", "http://x:0/", "http://x:y/", "file:///etc/shadow"):
        reply = await client("POST", "/images/create", fromSrc=source)
        assert (reply.status, reply.body["message"][:12]) == (400, "invalid URL "), source
    reply = await client("POST", "/images/create", fromSrc="-", changes="NONSENSE x")
    assert (reply.status, reply.body["message"]) == (400, "nonsense is not a valid change command")
    assert (await client("POST", "/images/absent@sha256:12/push")).status == 400


async def test_removing_an_image_in_use_conflicts(client: Client) -> None:
    await client.create("true")
    assert (await client("DELETE", "/images/busybox")).status == 409
    await client("POST", "/containers/prune")
    removed = (await client("DELETE", "/images/busybox")).body
    assert removed[0] == {"Untagged": "busybox"}
    assert (await client("GET", "/images/json")).body == []


async def test_save_of_an_absent_image_is_not_found(client: Client) -> None:
    assert (await client("GET", "/images/absent/get")).status == 404
    assert (await client("GET", "/images/get")).status == 400
    reply = await client("GET", "/images/get", names="busybox")
    assert (reply.headers["Content-Type"], len(reply.data)) == ("application/x-tar", 9000)


async def test_volumes(client: Client) -> None:
    body = {"Name": "data", "Labels": {"a": "b"}}
    assert (await client("POST", "/volumes/create", body)).status == 201
    unnamed = (await client("POST", "/volumes/create", {})).body
    assert len(unnamed["Name"]) == 64
    listed = (await client("GET", "/volumes", filters={"label": ["a=b"]})).body
    assert [volume["Name"] for volume in listed["Volumes"]] == ["data"]
    pruned = (await client("POST", "/volumes/prune")).body
    assert pruned == {"VolumesDeleted": [unnamed["Name"]], "SpaceReclaimed": 4096}
    assert (await client("DELETE", "/volumes/data")).status == 204
    assert (await client("DELETE", "/volumes/data")).status == 404


async def test_predefined_networks(client: Client) -> None:
    await client.run("sleep", name="web")
    listed = (await client("GET", "/networks", filters={"name": ["bridge"]})).body
    shown = (await client("GET", f"/networks/{listed[0]['Id'][:12]}")).body
    assert [item["Name"] for item in shown["Containers"].values()] == ["web"]
    assert (await client("POST", "/networks/create", {"Name": "mine"})).status == 501
    assert (await client("POST", "/networks/prune")).body == {"NetworksDeleted": None}


async def test_plugins(client: Client) -> None:
    assert (await client("GET", "/plugins")).body == []
    assert (await client("GET", "/plugins/x/json")).status == 404
    assert (await client("POST", "/plugins/pull", remote="x")).status == 501


async def test_info_counts_containers(client: Client) -> None:
    await client.run("sleep")
    await client.create("true")
    body = (await client("GET", "/info")).body
    assert (body["Containers"], body["ContainersRunning"], body["Images"]) == (2, 1, 1)
    assert body["Swarm"]["LocalNodeState"] == "inactive"


async def test_disk_usage_of_one_kind(client: Client) -> None:
    await client.create("true")
    assert set((await client("GET", "/system/df", type="container")).body) == {"Containers"}
    everything = (await client("GET", "/system/df")).body
    assert set(everything) == {"Images", "LayersSize", "Containers", "Volumes", "BuildCache"}
    assert (await client("GET", "/system/df", type="nonsense")).status == 400


async def test_events_are_streamed_as_they_happen(served: Served) -> None:
    _, client = served
    filters = json.dumps({"type": ["container"], "event": ["start"]})
    reader, writer = await asyncio.open_unix_connection(str(client.path))
    writer.write(
        f"GET /events?filters={filters.replace(' ', '')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    container_id = await client.run("sleep", name="web")
    line = json.loads((await reader.readuntil(b"}\n")).split(b"\r\n", 1)[1])
    writer.close()
    assert (line["Type"], line["Action"], line["status"]) == ("container", "start", "start")
    assert (line["Actor"]["ID"], line["from"]) == (container_id, "busybox")
    assert line["Actor"]["Attributes"]["name"] == "web"


async def test_past_events_are_filtered(client: Client) -> None:
    container_id = await client.finish("true", name="web", Labels={"a": "b"})
    await client.finish("true", name="other")
    for filters in ({"container": ["web"]}, {"container": [container_id]}, {"label": ["a=b"]}):
        lines = (await client("GET", "/events", since=1, until=99, filters=filters)).lines
        assert lines == []
        past = await client("GET", "/events", since="1h", until="-1ms", filters=filters)
        assert [line["Action"] for line in past.lines] == ["create", "start", "die"]
    bad = await client("GET", "/events", filters={"nonsense": ["x"]})
    assert bad.status == 400
    assert (await client("GET", "/events", since=9, until=3)).status == 400


async def test_what_is_hypers_own(client: Client) -> None:
    checks = (await client("GET", "/hyper/v1/doctor")).body
    assert checks == [
        {"Name": "memory", "Ok": False, "Detail": "none", "Advice": "buy some", "Warning": False}
    ]
    memory = (await client("GET", "/hyper/v1/memory")).body
    assert memory["Pods"] == [] and memory["Waiting"] == {"Count": 0, "Pss": 0}
    assert (await client("GET", "/hyper/v1/pods")).body == []
    assert (await client("GET", "/hyper/v1/pods/x")).status == 404
    assert (await client("GET", "/hyper/v1/kernels")).body == []
    reply = await client("POST", "/hyper/v1/kernels", {"Path": "relative"})
    assert reply.status == 400


async def test_a_bad_archive_is_an_error_in_the_stream(client: Client) -> None:
    reply = await client("POST", "/images/load")
    assert reply.status == 200
    assert reply.lines[-1]["error"] == "tar: unexpected end of the archive"


async def test_an_image_of_another_platform_is_not_what_was_asked_for(client: Client) -> None:
    other = json.dumps({"os": "linux", "architecture": "arm64"})
    right = json.dumps({"os": "linux", "architecture": "amd64"})
    for method, path, name in (
        ("GET", "/images/busybox/json", "platform"),
        ("GET", "/images/busybox/history", "platform"),
        ("GET", "/images/busybox/get", "platform"),
        ("GET", "/images/get?names=busybox", "platform"),
        ("POST", "/images/busybox/push", "platform"),
        ("DELETE", "/images/busybox", "platforms"),
    ):
        reply = await client(method, path, **{name: other})
        assert (reply.status, reply.body["message"]) == (
            404,
            "image with reference busybox was found but does not match the specified platform: "
            "wanted linux/arm64, actual: linux/amd64",
        ), path
        assert (await client(method, path, **{name: "arm64"})).status == 400, path
    assert (await client("GET", "/images/busybox/json", platform=right)).status == 200
    assert (await client("GET", "/v1.48/images/busybox/json", platform=other)).status == 200
    assert (await client("GET", "/images/json", manifests="1")).status == 501


async def test_a_step_of_another_images_making_is_shown_with_all(served: Served) -> None:
    engine, client = served
    step = replace(engine.images.all[0], id="sha256:" + "5" * 64, references=())
    child = replace(step, id="sha256:" + "6" * 64, parent=step.id)
    engine.images.all += [step, child]
    shown = {item["Id"] for item in (await client("GET", "/images/json")).body}
    assert child.id in shown and step.id not in shown
    assert step.id in {item["Id"] for item in (await client("GET", "/images/json?all=1")).body}
    shared = (await client("GET", "/images/json", **{"shared-size": "1"})).body
    assert all(item["SharedSize"] >= 0 for item in shared)


async def test_commit_takes_no_config_that_a_container_could_not_have(client: Client) -> None:
    await client.create("true", name="x1")
    for body in ({"Env": 5}, {"Cmd": {"a": 1}}, {"Labels": ["x"]}, {"Healthcheck": {"Test": 1}}):
        assert (await client("POST", "/commit?container=x1", body)).status == 400, body
    assert (await client("POST", "/commit?container=x1", {"env": ["A=b"]})).status == 201
