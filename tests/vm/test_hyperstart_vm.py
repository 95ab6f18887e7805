"""hyperstart as PID 1 of a real VM, driven directly: what a host process cannot show."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyper.agent import messages as m
from tools.places import INITRD, KERNEL

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))
from hyperstart_client import Host, Refused, start

PROGRAMS = ("qemu-system-x86_64", "sqfstar", "mkfs.ext4", "busybox")
_MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
_KERNEL = Path(os.environ.get("HYPER_KERNEL", KERNEL))
_INITRD = Path(os.environ.get("HYPER_INITRD", INITRD))

pytestmark = [
    pytest.mark.vm,
    pytest.mark.usefixtures("guest_artifacts"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
    pytest.mark.skipif(not _KERNEL.exists(), reason="no guest kernel: make kernel"),
    pytest.mark.skipif(not _INITRD.exists(), reason="no initramfs: make guest"),
]

MACHINE = "microvm,acpi=off,rtc=on,isa-serial=on"
ALIGNMENT = 4096


def squashfs(path: Path, files: dict[str, bytes], links: dict[str, str]) -> bytes:
    """Make a layer and return its bytes, padded as an extent of a disk."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    command = ["sqfstar", "-quiet", "-no-progress", str(path)]
    subprocess.run(command, input=archive.getvalue(), check=True, stdout=subprocess.DEVNULL)
    data = path.read_bytes()
    return data + bytes(-len(data) % ALIGNMENT)


@pytest.fixture
def layers(tmp_path: Path) -> tuple[m.Device, ...]:
    """Two layers, one after the other on the disk of slot 0."""
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    applets = {f"bin/{name}": "busybox" for name in ("sh", "cat", "sleep", "echo", "touch", "id")}
    base = squashfs(tmp_path / "base", {"bin/busybox": busybox, "etc/which": b"base\n"}, applets)
    top = squashfs(tmp_path / "top", {"etc/which": b"top\n"}, {})
    (tmp_path / "image").write_bytes(base + top)
    return m.Device(0, 0, 0, len(base)), m.Device(0, 0, len(base), len(top))


@pytest.fixture
def vm(tmp_path: Path, layers: tuple[m.Device, ...]) -> Iterator[tuple[Host, Path]]:
    """A booted VM whose host has said hello; it must end by itself when it was shut down."""
    address, writable = tmp_path / "agent.sock", tmp_path / "rw.ext4"
    with writable.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(writable)], check=True)
    command = ["qemu-system-x86_64", "-M", MACHINE, "-accel", "tcg", "-cpu", "qemu64,+rdrand"]
    command += ["-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(_KERNEL), "-initrd", str(_INITRD)]
    command += ["-append", "console=ttyS0 quiet panic=-1 reboot=t"]
    command += ["-serial", f"file:{tmp_path / 'console.log'}", "-device", "virtio-serial-device"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(1)
        command += ["-chardev", f"socket,id=agent,fd={listener.fileno()},server=on,wait=off"]
        command += ["-device", "virtserialport,chardev=agent,name=hyper.agent"]
        for number, (path, mode) in enumerate(((tmp_path / "image", "on"), (writable, "off"))):
            drive = f"if=none,id=d{number},format=raw,file={path},readonly={mode}"
            command += ["-drive", drive, "-device", f"virtio-blk-device,drive=d{number}"]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
    try:
        host = connect(address)
        host.hello()
        host.request(m.PodSetup(time.time_ns(), os.urandom(32), "pod", shm_bytes=16 << 20))
        yield host, address
        host.request(m.PodShutdown())
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        print((tmp_path / "console.log").read_text(errors="replace"))


def connect(address: Path) -> Host:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(address))
    return Host(connection)


def create(host: Host, layers: tuple[m.Device, ...], **fields: object) -> None:
    values: dict[str, object] = {"writable_kind": 1, "writable": m.Device(0, 1)}
    values |= {"container": "c1", "layers": layers} | fields
    host.request(m.ContainerCreate(**values))  # type: ignore[arg-type]


def test_layers_are_ranges_of_a_disk_and_changes_stay_on_another(
    vm: tuple[Host, Path], layers: tuple[m.Device, ...]
) -> None:
    host, _ = vm
    create(host, layers)
    host.request(start(1, "sh", "-c", "cat /etc/which; echo kept > /file", main=True))
    assert host.exited(1).exit_code == 0
    assert host.stdout(1) == b"top\n"
    host.request(m.ContainerRemove("c1"))
    create(host, layers[:1])
    host.request(start(2, "cat", "/etc/which", "/file", main=True))
    host.exited(2)
    assert host.stdout(2) == b"base\nkept\n"


def test_limits_hold_and_the_kill_is_reported(
    vm: tuple[Host, Path], layers: tuple[m.Device, ...]
) -> None:
    host, _ = vm
    create(host, layers, cgroup=m.Cgroup(memory_max_bytes=8 << 20, pids_max=5))
    eat = "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done"
    host.request(start(1, "sh", "-c", eat, main=True))
    exited = host.exited(1)
    assert (exited.signal, exited.oom_killed) == (9, True)
    host.wait_for(lambda: any(isinstance(f.message, m.Oom) for f in host.frames))
    host.request(start(2, "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 9 & done", main=True))
    assert host.exited(2).exit_code != 0
    assert b"fork" in host.stderr(2)


def test_paused_container_stands_still_until_it_goes_on(
    vm: tuple[Host, Path], layers: tuple[m.Device, ...]
) -> None:
    host, _ = vm
    create(host, layers)
    host.request(start(1, "cat", main=True, stdin=True))
    host.request(m.ContainerPause("c1", True))
    host.send(m.Data(0, b"later"), stream_id=4)
    assert host.request(m.Ping()) == m.Ok()
    assert host.stdout(1) == b""
    host.request(m.ContainerPause("c1", False))
    host.wait_for(lambda: host.stdout(1) == b"later")


def test_host_that_comes_back_finds_its_output(
    vm: tuple[Host, Path], layers: tuple[m.Device, ...]
) -> None:
    host, address = vm
    create(host, layers)
    host.acknowledge = False
    host.request(start(1, "sh", "-c", "echo one; read line; echo two", main=True, stdin=True))
    host.wait_for(lambda: host.stdout(1) == b"one\n")
    host.close()
    again = connect(address)
    assert [state.process_id for state in again.resume().processes] == [1]
    for stream in (5, 6):
        again.send(m.StreamResume(0), stream_id=stream)
    again.send(m.Data(0, b"\n"), stream_id=4)
    assert again.exited(1).exit_code == 0
    assert again.stdout(1) == b"one\ntwo\n"
    # The fixture goes on with the connection that lives.
    host.socket, host.buffer, host.frames = again.socket, again.buffer, again.frames


def test_device_that_never_comes_is_named(vm: tuple[Host, Path]) -> None:
    host, _ = vm
    with pytest.raises(Refused, match="device container_create"):
        create(host, (m.Device(1, 3),))


def test_the_clock_is_moved_at_once_by_much_and_slowly_by_little(vm: tuple[Host, Path]) -> None:
    host, _ = vm
    second = 10**9

    def clock(delta_ns: int = 0) -> int:
        answer = host.request(m.ClockAdjust(delta_ns))
        assert isinstance(answer, m.Clock)
        return answer.wall_ns

    first = clock()
    assert 3600 * second <= clock(3600 * second) - first < 3660 * second
    assert -3600 * second <= clock(-7200 * second - 1) - first < -3540 * second
    last = clock(3600 * second + 1)
    assert 0 <= last - first < 60 * second
    assert clock(-second // 10) >= last, "the clock ran backwards"
