"""What leads the pods' network to the world: which program is taken, and how it is confined."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.core.spec import Nic
from hyper.network import namespace, uplink
from hyper.network.choice import networks
from hyper.network.directory import Directory
from hyper.network.networks import Networks
from tests.support import leaks
from tests.support.tapped import uplink_pid

_PATIENCE_S = 60.0
_ROUTE6 = f"{'0' * 32} 00 {'0' * 32} 00 {'fd' + '0' * 29 + '1'} 00000400 0 0 00000003 eth0\n"


@pytest.mark.parametrize(
    ("said", "flawed"),
    [
        ("pasta unknown version\nCopyright Red Hat", True),  # Debian 12's
        ("pasta 2023_03_09.7c7625d", True),
        ("pasta 0.0~git20230309.7c7625d-1", True),
        ("pasta 0^20230823.ga7e4bfb-1.fc39.x86_64", False),
        ("pasta 0.0~git20240220.1e6f92b-1", False),
        ("pasta 2025_05_03.587980c", False),
    ],
)
def test_a_pasta_is_known_by_its_date(said: str, flawed: bool) -> None:
    assert uplink.is_flawed(said) is flawed


@pytest.mark.parametrize(
    ("pasta", "slirp", "chosen", "flaw"),
    [
        ("unknown version", True, "slirp4netns", ""),
        ("unknown version", False, "pasta", uplink.FLAW),
        ("2024_02_20.1e6f92b", True, "pasta", ""),
        ("", True, "slirp4netns", ""),
        ("", False, "", ""),
    ],
)
async def test_a_flawed_pasta_is_the_last_choice_and_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pasta: str,
    slirp: bool,
    chosen: str,
    flaw: str,
) -> None:
    if pasta:
        _script(tmp_path / "pasta", f"echo pasta {pasta}")
    if slirp:
        _script(tmp_path / "slirp4netns", "exit 1")
    monkeypatch.setattr(uplink, "SEARCH_PATH", str(tmp_path))
    program = await namespace.choose_uplink()
    assert program == (str(tmp_path / chosen) if chosen else "")
    assert await namespace.flaw_of(program) == flaw


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_ipv6_leads_out_where_the_host_has_a_default_route(tmp_path: Path) -> None:
    routes = tmp_path / "ipv6_route"
    routes.write_text(_ROUTE6)
    assert uplink.leads_out6("/usr/bin/slirp4netns", routes)
    assert uplink.leads_out6("/usr/bin/pasta", routes)
    assert not uplink.leads_out6("", routes)
    routes.write_text(_ROUTE6.replace("eth0", "lo"))
    assert not uplink.leads_out6("/usr/bin/pasta", routes)


@pytest_asyncio.fixture
async def backend(run_dir: Path) -> AsyncIterator[Networks]:
    """Give a namespace with its uplink, started as from a shell: with a low limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard // 2), hard))
    async with networks(run_dir, "namespace", Directory()) as made:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        nic: Nic = await made.make_device()
        yield made
        os.close(nic.tap_fd)


@pytest.mark.root
async def test_the_uplink_is_confined_and_has_routes(backend: Networks) -> None:
    found = await uplink_pid(backend)

    def unconfined() -> bool:
        status = Path(f"/proc/{found}/status").read_text()
        seen = set(os.listdir(f"/proc/{found}/root"))
        return not (
            "Seccomp:\t2" in status
            and "NoNewPrivs:\t1" in status
            and not {"home", "root", "usr"} & seen
        )

    assert await asyncio.to_thread(leaks.settle, unconfined, _PATIENCE_S)
    for pid in (backend.process_id, found):  # each connection of a pod is an open file of these
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] > 1024


_OTHER_HOST = """
set -e
ip link set lo up
ip link add host0 type bridge
ip address add 198.51.100.2/24 dev host0
ip address add 2001:db8:1::2/64 dev host0 nodad
ip link set host0 up
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:1::1
exec "$@"
"""  # a network namespace that is as a host with both families; RFC 5737 and RFC 3849: nobody's
_LEADS_OUT = """
import asyncio, socket, sys
from pathlib import Path
from hyper.host.process import run
from hyper.network.choice import networks
from hyper.network.directory import Directory

CLIENT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)"

async def main():
    hosts = (("198.51.100.2", socket.AF_INET), ("2001:db8:1::2", socket.AF_INET6))
    listeners = [socket.create_server((host, 0), family=family) for host, family in hosts]
    async with networks(Path(sys.argv[1]), "namespace", Directory()) as backend:
        for listener in listeners:
            where = map(str, listener.getsockname()[:2])
            enter = ["nsenter", f"--net=/proc/{backend.process_id}/ns/net"]
            tries = [*enter, sys.executable, "-c", CLIENT, *where]
            for _ in range(600):  # the uplink starts beside us
                try:
                    await run(tries)
                    break
                except Exception as error:
                    failed = error
                    await asyncio.sleep(0.1)
            else:
                raise failed
            listener.accept()
            print(listener.getsockname()[0])

asyncio.run(main())
"""


@pytest.mark.root
def test_the_uplink_leads_to_the_host_by_either_family(run_dir: Path) -> None:
    host = ["unshare", "--net", "sh", "-c", _OTHER_HOST, "host"]
    environment = {**os.environ, "PYTHONPATH": str(Path(uplink.__file__).parents[2])}
    done = subprocess.run(
        [*host, sys.executable, "-c", _LEADS_OUT, str(run_dir)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.split() == ["198.51.100.2", "2001:db8:1::2"], done.stderr


_WAS_FASTER = """
import asyncio, socket, subprocess
from hyper.network.keeper import Keeper

async def main():
    keeper = Keeper("/usr/bin/slirp4netns", True)
    for step in ("add up0 type bridge", "set up0 up"):
        subprocess.run(["ip", "link", *step.split()], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(keeper.serve(listener))
    await asyncio.sleep(0)
    subprocess.run(["ip", "-6", "route", "show", "default"], check=True)
    serving.cancel()

asyncio.run(main())
"""


@pytest.mark.root
def test_an_uplink_that_was_up_before_the_keeper_has_ipv6_too() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(uplink.__file__).parents[2])}
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", _WAS_FASTER],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert "default via fe80::2 dev up0" in done.stdout, done.stderr
