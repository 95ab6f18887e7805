"""/containers: what clients see of a container's life, in Docker's words."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine
from tests.support.fake_images import make_image

Served = tuple[FakeEngine, Client]


async def test_create_answers_with_the_id(client: Client) -> None:
    reply = await client(
        "POST", "/containers/create", {"Image": "busybox", "Cmd": "true"}, name="x1"
    )
    assert reply.status == 201
    assert len(reply.body["Id"]) == 64
    assert reply.body["Warnings"] == []


async def test_messages_clients_match_on(client: Client) -> None:
    container_id = await client.create("sleep", name="x1")
    await client("POST", "/containers/x1/start")
    expected: list[tuple[str, str, int, str]] = [
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("POST", "/containers/nope/start", 404, "No such container: nope"),
        ("POST", "/containers/nope/wait", 404, "No such container: nope"),
        ("POST", "/containers/nope/attach?stream=1", 404, "No such container: nope"),
        ("GET", "/containers/nope/logs?stdout=1", 404, "No such container: nope"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("GET", "/volumes/nope", 404, "get nope: no such volume"),
        ("GET", "/networks/nope", 404, "network nope not found"),
        ("GET", "/exec/nope/json", 404, "No such exec instance: nope"),
        ("GET", "/containers/x1/logs", 400, "Bad parameters: you must choose at least one stream"),
        ("POST", "/containers/x1/wait?condition=never", 400, 'invalid condition: "never"'),
        ("POST", "/containers/x1/kill?signal=NOPE", 400, "Invalid signal: NOPE"),
        ("POST", "/containers/x1/rename", 400, "Neither old nor new names may be empty"),
        (
            "DELETE",
            "/networks/bridge",
            403,
            "bridge is a pre-defined network and cannot be removed",
        ),
    ]
    for method, path, status, text in expected:
        reply = await client(method, path)
        assert (reply.status, reply.body["message"]) == (status, text), path
    reply = await client("POST", "/containers/create", {"Image": "busybox"}, name="x1")
    assert reply.status == 409
    assert reply.body["message"] == (
        f'Conflict. The container name "/x1" is already in use by container "{container_id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    reply = await client("POST", "/containers/create", {"Image": "absent:1"})
    assert (reply.status, reply.body["message"]) == (404, "No such image: absent:1")


async def test_update_and_start_refuse_what_they_cannot_do(client: Client) -> None:
    await client.create("sleep", name="x1")
    limit = [{"Name": "nofile", "Soft": 1, "Hard": 1}]
    reply = await client("POST", "/containers/x1/update", {"Ulimits": limit})
    assert (reply.status, reply.body["message"]) == (
        501,
        "Ulimits is not supported: update cannot change it, create the container anew",
    )
    reply = await client("POST", "/containers/x1/start", checkpoint="c")
    assert reply.status == 501
    reply = await client("POST", "/volumes/create", {"ClusterVolumeSpec": {"Group": "g"}})
    assert reply.status == 501
    assert (await client("GET", "/networks/bridge", scope="swarm")).status == 404


async def test_who_makes_a_container_of_an_image_for_another_platform_is_warned(
    served: Served,
) -> None:
    engine, client = served
    engine.images.all.append(replace(make_image("other:latest"), architecture="s390x"))
    body = {"Image": "other"}
    (warning,) = (await client("POST", "/containers/create", body)).body["Warnings"]
    assert warning.startswith("The requested image's platform (linux/s390x) does not match")
    asked = await client("POST", "/containers/create", body, platform="linux/s390x")
    assert asked.body["Warnings"] == []


async def test_an_update_of_limits_leaves_the_restart_policy(client: Client) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 3}
    await client.create("true", name="x1", HostConfig={"RestartPolicy": policy})
    unnamed = {"Name": "", "MaximumRetryCount": 0}  # what `docker update --memory` sends
    body = {"Memory": 100 << 20, "RestartPolicy": unnamed}
    assert (await client("POST", "/containers/x1/update", body)).status == 200
    host = (await client("GET", "/containers/x1/json")).body["HostConfig"]
    assert (host["Memory"], host["RestartPolicy"]) == (100 << 20, policy)


async def test_a_second_start_and_stop_are_not_modified(client: Client) -> None:
    await client.run("sleep", name="x1")
    assert (await client("POST", "/containers/x1/start")).status == 304
    assert (await client("POST", "/containers/x1/stop")).status == 204
    assert (await client("POST", "/containers/x1/stop")).status == 304


async def test_kill_and_exec_of_a_stopped_container_conflict(client: Client) -> None:
    container_id = await client.create("true", name="x1")
    reply = await client("POST", "/containers/x1/kill")
    assert reply.status == 409
    assert reply.body["message"] == (
        f"Cannot kill container: x1: Container {container_id} is not running"
    )
    reply = await client("POST", "/containers/x1/exec", {"Cmd": ["true"]})
    assert reply.status == 409
    assert reply.body["message"] == f"Container {container_id} is not running"


async def test_inspect_shows_state_and_merged_configuration(client: Client) -> None:
    container_id = await client.finish("sh", "-c", "exit 7", name="x1", Labels={"a": "b"})
    body = (await client("GET", "/containers/x1/json")).body
    assert body["Id"] == container_id
    assert body["Name"] == "/x1"
    assert (body["Path"], body["Args"]) == ("sh", ["-c", "exit 7"])
    assert body["State"]["Status"] == "exited"
    assert body["State"]["Running"] is False
    assert body["State"]["ExitCode"] == 7
    assert body["State"]["StartedAt"] > "2020"
    assert body["Config"]["Hostname"] == container_id[:12]
    assert "FROM=image" in body["Config"]["Env"]
    assert body["Config"]["Labels"]["a"] == "b"
    assert body["HostConfig"]["NetworkMode"] == "bridge"
    assert "SizeRw" not in body
    sized = (await client("GET", f"/containers/{container_id[:10]}/json", size=1)).body
    assert (sized["SizeRw"], sized["SizeRootFs"]) == (12345, 67890)


async def test_a_running_container_shows_addresses_and_ports(client: Client) -> None:
    bindings = {"80/tcp": [{"HostPort": "8080"}]}
    await client.run("sleep", name="x1", HostConfig={"PortBindings": bindings})
    settings = (await client("GET", "/containers/x1/json")).body["NetworkSettings"]
    assert settings["IPAddress"] == "10.0.2.15"
    assert settings["Networks"]["bridge"]["Gateway"] == "10.0.2.2"
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    (shown,) = (await client("GET", "/containers/json")).body
    assert shown["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    ]
    assert shown["Status"].startswith("Up ")
    assert shown["Command"] == "sleep"


async def test_list_shows_running_ones_unless_all_are_asked_for(client: Client) -> None:
    await client.create("true", name="made")
    await client.run("sleep", name="runs")
    shown = (await client("GET", "/containers/json")).body
    assert [item["Names"] for item in shown] == [["/runs"]]
    shown = (await client("GET", "/containers/json", all=1, size=1)).body
    assert [item["Names"] for item in shown] == [["/runs"], ["/made"]]
    assert shown[0]["SizeRw"] == 12345
    shown = (await client("GET", "/containers/json", limit=1)).body
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"name": ["web"]}, ["web"]),
        ({"name": ["^/web$"]}, ["web"]),
        ({"name": {"web": True}}, ["web"]),
        ({"label": ["tier"]}, ["web"]),
        ({"label": ["tier=front"]}, ["web"]),
        ({"label": ["tier=back"]}, []),
        ({"status": ["created"]}, ["job"]),
        ({"status": ["exited"]}, ["done"]),
        ({"exited": ["3"]}, ["done"]),
        ({"exited": ["4"]}, []),
        ({"ancestor": ["busybox"]}, ["web"]),
        ({"ancestor": ["absent"]}, []),
        ({"network": ["bridge"]}, ["web"]),
        ({"network": ["none"]}, []),
        ({"volume": ["/data"]}, ["web"]),
        ({"publish": ["8080"]}, ["web"]),
        ({"publish": ["80"]}, []),
        ({"expose": ["80/tcp"]}, ["web"]),
        ({"health": ["none"]}, ["web"]),
        ({"is-task": ["true"]}, []),
        ({"before": ["done"], "status": ["created", "running"]}, ["job", "web"]),
        ({"since": ["web"], "status": ["created", "exited"]}, ["done", "job"]),
    ],
)
async def test_filters(client: Client, filters: dict[str, Any], names: list[str]) -> None:
    await client.run(
        "sleep",
        name="web",
        Labels={"tier": "front"},
        Volumes={"/data": {}},
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
    )
    await client.create("true", name="job")
    await client.finish("both", name="done")
    shown = (await client("GET", "/containers/json", filters=filters)).body
    assert [item["Names"][0][1:] for item in shown] == names


@pytest.mark.parametrize(
    "filters",
    ["{", "[]", '{"colour": ["red"]}', '{"status": ["odd"]}', '{"exited": ["x"]}', '{"name": 3}'],
)
async def test_bad_filters_are_refused(client: Client, filters: str) -> None:
    assert (await client("GET", "/containers/json", filters=filters)).status == 400


async def test_wait_sends_its_head_before_the_container_starts(served: Served) -> None:
    engine, client = served
    container_id = await client.create("sh", "-c", "exit 5")
    async with client.hijack(
        f"/containers/{container_id}/wait?condition=next-exit", upgrade=False
    ) as raw:
        assert "200 OK" in await raw.head()
        await engine.containers.start(container_id)
        chunk = await raw.reader.readuntil(b"}")
        assert json.loads(chunk.split(b"\r\n", 1)[1]) == {"StatusCode": 5}


async def test_wait_for_removal_survives_it(served: Served) -> None:
    engine, client = served
    container_id = await client.create("sh", "-c", "exit 6", HostConfig={"AutoRemove": True})
    path = f"/containers/{container_id}/wait?condition=removed"
    async with client.hijack(path, upgrade=False) as raw:
        await raw.head()
        await engine.containers.start(container_id)
        chunk = await raw.reader.readuntil(b"}")
    assert json.loads(chunk.split(b"\r\n", 1)[1]) == {"StatusCode": 6}
    assert (await client("GET", f"/containers/{container_id}/json")).status == 404


async def test_wait_of_one_that_ended_answers_at_once(client: Client) -> None:
    container_id = await client.finish("false")
    assert (await client("POST", f"/containers/{container_id}/wait")).body == {"StatusCode": 1}


async def test_update_changes_only_what_it_names(served: Served) -> None:
    engine, client = served
    host = {"Memory": 64 << 20, "NanoCpus": 500_000_000}
    await client.run("sleep", name="x1", HostConfig=host)
    body = {"Memory": 128 << 20, "RestartPolicy": {"Name": "always"}}
    assert (await client("POST", "/containers/x1/update", body)).status == 200
    spec = engine.containers.get("x1").spec
    assert spec.resources.memory_bytes == 128 << 20
    assert spec.resources.cpus == 0.5
    assert spec.restart_policy.name == "always"
    reply = await client("POST", "/containers/x1/update", {"BlkioWeight": 100})
    assert (reply.status, reply.body["message"].split(" ")[0]) == (501, "BlkioWeight")
    reply = await client("POST", "/containers/x1/update", {"Memory": 1000})
    assert reply.body["message"] == "Minimum memory limit allowed is 6MB"


async def test_prune_removes_what_does_not_run(client: Client) -> None:
    await client.run("sleep", name="runs")
    done = await client.finish("true", name="done")
    await client.finish("true", name="kept", Labels={"keep": ""})
    reply = await client("POST", "/containers/prune", filters={"label!": ["keep"]})
    assert reply.body == {"ContainersDeleted": [done], "SpaceReclaimed": 12345}
    names = [item["Names"][0] for item in (await client("GET", "/containers/json", all=1)).body]
    assert names == ["/kept", "/runs"]


async def test_rename_pause_and_unpause(client: Client) -> None:
    await client.run("sleep", name="old")
    assert (await client("POST", "/containers/old/rename", name="new")).status == 204
    assert (await client("POST", "/containers/new/pause")).status == 204
    state = (await client("GET", "/containers/new/json")).body["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    assert (await client("POST", "/containers/new/unpause")).status == 204


async def test_top_shows_the_columns_asked_for(client: Client) -> None:
    await client.run("sleep", "9", name="x1")
    body = (await client("GET", "/containers/x1/top")).body
    assert body["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert body["Processes"][0][-1] == "sleep 9"
    body = (await client("GET", "/containers/x1/top", ps_args="-o pid,comm")).body
    assert body == {"Titles": ["PID", "COMMAND"], "Processes": [["1", "x"]]}
    body = (await client("GET", "/containers/x1/top", ps_args="aux")).body
    assert body["Titles"][:2] == ["USER", "PID"]
    assert (await client("GET", "/containers/x1/top", ps_args="-o nonsense")).status == 400
    assert (await client("GET", "/containers/x1/top", ps_args="nonsense")).status == 400


async def test_one_shot_stats(client: Client) -> None:
    await client.run("sleep", name="x1")
    reply = await client("GET", "/containers/x1/stats", **{"stream": 0, "one-shot": 1})
    assert reply.body["name"] == "/x1"
    assert reply.body["cpu_stats"]["cpu_usage"]["total_usage"] == 7000
    assert reply.body["memory_stats"]["stats"] == {"anon": 4096}
    assert reply.body["networks"]["eth0"]["rx_bytes"] == 1
    assert (await client("GET", "/containers/x1/stats", **{"one-shot": 1})).status == 400


async def test_what_is_not_unicode_in_a_request_spoils_no_answer(client: Client) -> None:
    """Go's clients never send it; Python's json does, for a file name that is not UTF-8."""
    await client.create("true", name="odd", Labels={"\udcff": "\ud800"}, Env=["A=\udcff"])
    listed = await client("GET", "/containers/json?all=1")
    assert [item["Labels"].get("\ufffd") for item in listed.body] == ["\ufffd"]
    shown = await client("GET", "/containers/odd/json")
    assert "A=\ufffd" in shown.body["Config"]["Env"]
    refused = await client("GET", r'/containers/json?filters={"\ud800":["x"]}')
    assert refused.status == 400
