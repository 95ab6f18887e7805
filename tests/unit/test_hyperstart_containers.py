"""hyperstart's containers: mounts as Docker's, volumes, hostile images, removal."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hyperstart_client import Host, Refused, start
from hyperstart_guest import (
    create,
    greeted_host,
    needs_busybox,
    needs_musl,
    needs_root,
    run,
    shell,
)

from hyper.agent import messages as m
from tests.support.guest_builds import build

pytestmark = [needs_root, needs_busybox]


@pytest.fixture
def init_host(tmp_path: Path) -> Iterator[Host]:
    """A host of a hyperstart that uses the release build as containers' init."""
    shutil.copy(build("all") / "hyperstart", tmp_path / "init")
    with greeted_host(tmp_path) as host:
        yield host


def test_mounts_are_those_of_docker(running: Host) -> None:
    out = shell(running, 2, "awk '{print $2, $3, $4}' /proc/mounts")
    mounts = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert mounts["/"][0] == "overlay"
    assert mounts["/proc"][0] == "proc"
    assert mounts["/dev"][0] == "tmpfs"
    assert mounts["/dev/pts"][0] == "devpts"
    assert mounts["/dev/mqueue"][0] == "mqueue"
    assert mounts["/sys"][1].startswith("ro,nosuid,nodev,noexec")
    assert set(mounts) == {"/", "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys"}


def test_devices_and_links_are_those_of_docker(running: Host) -> None:
    out = shell(running, 2, "cd /dev; ls; for i in ptmx fd stdin; do readlink $i; done")
    names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert out.split() == [*names.split(), "pts/ptmx", "/proc/self/fd", "/proc/self/fd/0"]


def test_first_process_is_pid_1(host: Host) -> None:
    create(host, hostname="inside")
    assert shell(host, 1, "echo $$; hostname", main=True) == "1\ninside\n"


@needs_musl
def test_init_forwards_signals_reaps_and_passes_the_exit_on(init_host: Host) -> None:
    host = init_host
    create(host, init=True)
    script = "trap 'exit 42' TERM; (sleep 0.1 & ) ; echo $$; sleep 60 & wait"
    host.request(start(1, "sh", "-c", script, main=True))
    host.wait_for(lambda: host.stdout(1))
    assert int(host.stdout(1)) > 1
    assert shell(host, 2, "tr '\\0' ' ' < /proc/1/cmdline").startswith("/sbin/docker-init -- sh")
    dead = "cut -d' ' -f3 /proc/[0-9]*/stat | grep -q Z"
    assert shell(host, 3, f"sleep 0.3; while {dead}; do sleep 0.1; done; echo none") == "none\n"
    host.request(m.ProcessSignal(1, "", signal.SIGTERM))
    assert host.exited(1).exit_code == 42


@needs_musl
def test_init_reports_a_missing_program(init_host: Host) -> None:
    create(init_host, init=True)
    with pytest.raises(Refused, match="exec missing"):
        init_host.request(start(1, "missing", main=True))


def test_files_tmpfs_masked_and_read_only_paths(host: Host) -> None:
    mounts = (
        m.Mount(2, destination="/etc/hosts", data=b"1.2.3.4 me\n", mode=0o640, uid=5),
        m.Mount(2, destination="/new/deep/file", data=b"deep\n"),
        m.Mount(0, destination="/data", options="size=64k,mode=700"),
    )
    masked = ("/proc/version", "/etc/group", "/tmp", "/missing")
    create(host, mounts=mounts, masked_paths=masked, read_only_paths=("/etc", "/missing"))
    script = (
        "cat /etc/hosts /new/deep/file; stat -c '%a %u' /etc/hosts; stat -c %a /data; ls /data;"
        " wc -c < /proc/version; wc -c < /etc/group; (echo > /etc/x) 2>&1; (echo > /tmp/x) 2>&1"
    )
    lines = shell(host, 1, script, main=True).splitlines()
    assert lines[:6] == ["1.2.3.4 me", "deep", "640 5", "700", "0", "0"]
    assert len(lines) == 8
    assert all("Read-only" in line for line in lines[6:])


def test_read_only_root(host: Host) -> None:
    create(host, read_only_root=True)
    out = shell(host, 1, "(echo > /x) 2>&1; echo > /dev/shm/x && echo shm", main=True)
    assert "Read-only" in out
    assert out.endswith("shm\n")


def test_volume_is_mounted_and_populated_once(host: Host, tmp_path: Path) -> None:
    share = tmp_path / "share/vol"
    share.mkdir(parents=True)
    data = tmp_path / "test-layers/0/data"
    os.chown(data / "file", 1000, 2000)
    (data / "link").symlink_to("/etc/passwd")
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", destination="/data", populate=True),))
    assert shell(host, 1, "cat /data/file; rm /data/file", main=True) == "from the image\n"
    assert (share / "link").is_symlink()
    assert (share / "below").is_dir()
    run(host, 2, "true", main=True)
    assert not (share / "file").exists()


def test_volume_in_use_cannot_be_removed(host: Host, tmp_path: Path) -> None:
    (tmp_path / "share/vol").mkdir(parents=True)
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", destination="/mnt", flags=1),))
    assert "Read-only" in shell(host, 1, "(echo > /mnt/x) 2>&1", main=True)
    with pytest.raises(Refused, match="volume v"):
        host.request(m.VolumeRemove("v"))
    host.request(m.ContainerRemove("c1"))
    host.request(m.VolumeRemove("v"))


@pytest.mark.parametrize("target", ["/run/made/resolv", "../run/made/resolv", "next"])
def test_mount_point_that_is_a_dangling_link_is_made(
    host: Host, tmp_path: Path, target: str
) -> None:
    etc = tmp_path / "test-layers/0/etc"
    (etc / "resolv.conf").symlink_to(target)
    (etc / "next").symlink_to("../../../../../run/made/resolv")
    create(host, mounts=(m.Mount(2, destination="/etc/resolv.conf", data=b"nameserver\n"),))
    script = "cat /etc/resolv.conf /run/made/resolv"
    assert shell(host, 1, script, main=True) == "nameserver\n" * 2


def test_mount_point_that_links_to_itself_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "test-layers/0/etc/loop").symlink_to("loop")
    create(host, mounts=(m.Mount(2, destination="/etc/loop", data=b"x"),))
    with pytest.raises(Refused, match="mkdir /etc/loop: Too many"):
        host.request(start(1, "true", main=True))


def test_volume_subpath_cannot_leave_the_volume(host: Host, tmp_path: Path) -> None:
    share = tmp_path / "share/vol"
    share.mkdir(parents=True)
    (share / "out").symlink_to("../../../../../../etc")
    host.request(m.VolumeAdd("v", 0, "vol", m.Device(), "", False))
    create(host, mounts=(m.Mount(1, "v", "out", destination="/mnt"),))
    with pytest.raises(Refused, match="volume v: out"):
        host.request(start(1, "true", main=True))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "proc_is_a_link": lambda root: (root / "proc").symlink_to("/etc"),
    "dev_is_a_link_upwards": lambda root: (root / "dev").symlink_to("../../../../../../../tmp"),
    "sys_is_a_file": lambda root: (root / "sys").write_text("x"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_mount_points_do_not_lead_out(host: Host, tmp_path: Path, kind: str) -> None:
    HOSTILE[kind](tmp_path / "test-layers/0")
    before = {path.name for path in Path("/tmp").iterdir()}
    create(host)
    try:
        run(host, 1, "true", main=True)
    except Refused:
        pass
    assert "pts" not in {path.name for path in Path("/tmp").iterdir()} - before
    assert host.request(m.Ping()) == m.Ok()


@pytest.mark.parametrize("kind", ["fifo", "zero", "huge", "link"])
def test_hostile_passwd_is_harmless(host: Host, tmp_path: Path, kind: str) -> None:
    passwd = tmp_path / "test-layers/0/etc/passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "zero":
        passwd.symlink_to("/dev/zero")
    elif kind == "huge":
        with passwd.open("wb") as file:
            file.truncate(1 << 40)
    else:
        passwd.symlink_to("passwd")
    create(host)
    assert shell(host, 1, "echo fine", main=True, user="7") == "fine\n"
    with pytest.raises(Refused, match="user bob"):
        host.request(start(2, "true", main=True, user="bob"))


def test_removal_kills_unmounts_and_forgets(running: Host, tmp_path: Path) -> None:
    running.request(start(2, "sleep", "600"))
    running.request(m.ContainerRemove("c1"))
    assert running.exited(1).signal == signal.SIGKILL
    assert running.exited(2).signal == signal.SIGKILL
    assert list((tmp_path / "c").iterdir()) == []
    assert list((tmp_path / "l").iterdir()) == []
    with pytest.raises(Refused, match="container c1"):
        running.request(m.ContainerRemove("c1"))


def test_layers_are_shared_until_the_last_container_goes(running: Host, tmp_path: Path) -> None:
    create(running, "c2")
    assert len(list((tmp_path / "l").iterdir())) == 1
    running.request(m.ContainerRemove("c1"))
    assert run(running, 3, "true", container="c2", main=True).exit_code == 0
    running.request(m.ContainerRemove("c2"))
    assert list((tmp_path / "l").iterdir()) == []


def test_processes_are_listed(running: Host) -> None:
    listed = running.request(m.ContainerProcesses("c1"))
    assert isinstance(listed, m.ContainerProcessList)
    (entry,) = listed.processes
    assert (entry.command, entry.comm, entry.uid, entry.threads) == ("sleep 600", "sleep", 0, 1)
    assert chr(entry.state) in "SRD"


def test_a_tmpfs_without_a_mode_has_that_of_what_it_covers(host: Host, tmp_path: Path) -> None:
    (tmp_path / "test-layers/0/root").chmod(0o2750)
    mounts = (
        m.Mount(0, destination="/root", options="size=64k"),
        m.Mount(0, destination="/data", options="mode=1700"),
        m.Mount(0, destination="/new"),
    )
    create(host, mounts=mounts)
    out = shell(host, 1, "stat -c %a /root /data /new; ls /data", main=True)
    assert out.split() == ["2750", "1700", "1777"]
