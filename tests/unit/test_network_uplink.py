"""What leads the pods' network to the world: which program is taken, and how it is confined."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.core.spec import Nic
from hyper.host.memory import family, process_name
from hyper.network import namespace, uplink
from hyper.network.choice import networks
from hyper.network.directory import Directory
from hyper.network.networks import Networks
from tests.support import leaks

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
    """Give a namespace with its uplink."""
    async with networks(run_dir, "namespace", Directory()) as made:
        nic: Nic = await made.make_device()
        yield made
        os.close(nic.tap_fd)


@pytest.mark.root
async def test_the_uplink_is_confined_and_has_routes(backend: Networks) -> None:
    def missing() -> bool:
        routes = Path(f"/proc/{backend.process_id}/net/route").read_text()
        return not any(line.split()[:2] == ["up0", "0" * 8] for line in routes.splitlines())

    assert await asyncio.to_thread(leaks.settle, missing, _PATIENCE_S)
    (found,) = [
        pid for pid in family(backend.process_id) if process_name(pid).startswith(("pas", "slirp"))
    ]
    status = Path(f"/proc/{found}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert not {"home", "root", "usr"} & {*os.listdir(f"/proc/{found}/root")}


@pytest.mark.root
async def test_the_uplink_has_ipv6_where_the_host_has(backend: Networks) -> None:
    if not uplink.leads_out6("any"):
        pytest.skip("this host has no default route for IPv6")

    def missing() -> bool:
        routes = Path(f"/proc/{backend.process_id}/net/ipv6_route").read_text().splitlines()
        return not any(
            line.startswith("0" * 32 + " 00 ") and line.split()[-1] == "up0" for line in routes
        )

    assert await asyncio.to_thread(leaks.settle, missing, _PATIENCE_S)
