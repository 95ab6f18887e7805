"""What a jailed VMM is and sees, and the folders shared with its guest."""

import os
from pathlib import Path

import pytest

from hyper.core.errors import Conflict, HypervisorError, InvalidArgument, NotFound
from hyper.hypervisor.driver import Driver, DriverOptions, Vm
from tests.support.bare_guest import Shell, shell
from tests.vm.conftest import Keep, NewSpec, bare_zygote

MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,access=any hyper /mnt"


@pytest.fixture(params=("booted", "forked"))
async def vm(
    driver: Driver,
    new_spec: NewSpec,
    keep: Keep,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Vm:
    if request.param == "forked":
        async with bare_zygote(driver, new_spec, folder, monkeypatch) as zygote:
            return keep(await zygote.fork(new_spec("vm")))
    vm = keep(await driver.start(new_spec("vm")))
    if not vm.record.jailed:
        pytest.skip("this host does not allow user namespaces")
    return vm


def status_of(vm: Vm) -> dict[str, str]:
    lines = Path(f"/proc/{vm.record.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_a_vmm_has_no_privileges(vm: Vm) -> None:
    async with shell(vm.agent_socket):
        status = status_of(vm)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # chown, dac_override, fowner, fsetid inside its own user namespace, for the 9p server; or none.
    assert int(status["CapBnd"], 16) | 0b11011 == 0b11011
    if os.geteuid() == 0:
        assert int(status["Uid"].split()[0]) >= 0x70000000


async def test_a_vmm_has_namespaces_of_its_own(vm: Vm) -> None:
    for name in ("user", "mnt", "pid_for_children", "ipc"):
        theirs = os.readlink(f"/proc/{vm.record.pid}/ns/{name}")
        assert theirs != os.readlink(f"/proc/self/ns/{name}"), name


async def test_a_vmm_sees_only_its_files(vm: Vm) -> None:
    root = f"/proc/{vm.record.pid}/root"
    seen = set(os.listdir(root))
    assert {"usr", "dev", "proc", "share"} <= seen
    assert not seen & {"etc", "home", "root", "var", "run", "tmp", "sys", "old", "boot", "srv"}
    assert set(os.listdir(f"{root}/dev")) == {"null", "zero", "urandom"}
    assert Path(f"/proc/{vm.record.pid}/environ").read_bytes().strip(b"\0") == b""


async def test_a_shared_folder_appears_in_the_guest_only(vm: Vm, folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    (shared / "hello").write_text("from the host")
    await vm.share_add("data", shared, False)
    # Of the other mounts some may come and go: those of who else uses this machine.
    assert f"{folder.name}/shared" in Path(f"/proc/{vm.record.pid}/mountinfo").read_text()
    assert f"{folder.name}/shared" not in Path("/proc/self/mountinfo").read_text()
    assert vm.record.shares == ("data",)
    async with shell(vm.agent_socket) as guest:
        await guest.output(MOUNT)
        assert await guest.output("cat /mnt/data/hello") == "from the host"
        await guest.output("echo from the guest >/mnt/data/new")
        assert (shared / "new").read_text() == "from the guest\n"
        # Owners are right in the guest, and as root on the host, too.
        await guest.output("chown 33:44 /mnt/data/new && chmod 640 /mnt/data/new")
        assert await guest.output("stat -c %u:%g:%a /mnt/data/new") == "33:44:640"
        if os.geteuid() == 0:
            info = (shared / "new").stat()
            assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (33, 44, 0o640)
        await while_mounted(vm, guest, shared)


async def while_mounted(vm: Vm, guest: Shell, shared: Path) -> None:
    """Add, seal and remove shares while the guest has the file system mounted."""
    await vm.share_add("sealed", shared, False)
    await guest.output("sleep 600 3>/mnt/sealed/kept & echo $! >/pid; touch /mnt/sealed/yes")
    await guest.output("until [ -e /mnt/sealed/kept ]; do sleep 0.1; done")
    with pytest.raises(HypervisorError, match=r"(?i)busy"):
        await vm.share_seal("sealed")
    await guest.output("kill $(cat /pid); while [ -d /proc/$(cat /pid) ]; do sleep 0.1; done")
    await vm.share_seal("sealed")
    status, _ = await guest.run("touch /mnt/sealed/no || echo >/mnt/sealed/yes")
    assert status != 0 and not (shared / "no").exists()
    assert await guest.output("cat /mnt/sealed/hello") == "from the host"
    await vm.share_remove("sealed")
    await vm.share_add("locked", shared, True)
    assert await guest.output("cat /mnt/locked/hello") == "from the host"
    status, _ = await guest.run("touch /mnt/locked/no")
    assert status != 0 and not (shared / "no").exists()
    await vm.share_remove("locked")
    await guest.output("sleep 1; ! cat /mnt/locked/hello")
    assert (shared / "hello").exists()
    with pytest.raises(NotFound):
        await vm.share_remove("locked")


async def test_a_single_file_can_be_shared(vm: Vm, folder: Path) -> None:
    (folder / "file").write_text("content")
    await vm.share_add("file", folder / "file", True)
    async with shell(vm.agent_socket) as guest:
        await guest.output(MOUNT)
        assert await guest.output("cat /mnt/file") == "content"


async def test_the_guest_cannot_write_beside_the_shares(vm: Vm) -> None:
    async with shell(vm.agent_socket) as guest:
        await guest.output(MOUNT)
        status, _ = await guest.run("mkdir /mnt/mine || ln -s / /mnt/up")
        assert status != 0
        assert "etc" not in (await guest.output("ls -a /mnt /mnt/..")).split()


async def test_a_link_in_a_share_leads_nowhere_on_the_host(vm: Vm, folder: Path) -> None:
    shared, secret = folder / "shared", folder / "secret"
    shared.mkdir()
    secret.write_text("secret")
    (shared / "link").symlink_to(secret)
    await vm.share_add("data", shared, False)
    async with shell(vm.agent_socket) as guest:
        await guest.output(MOUNT)
        status, output = await guest.run("cat /mnt/data/link")
        assert status != 0 and b"secret\n" not in output


async def test_a_share_has_a_plain_name(vm: Vm, folder: Path) -> None:
    for name in ("", "..", "a/b", "/etc", "-x", "a" * 200):
        with pytest.raises(InvalidArgument):
            await vm.share_add(name, folder, True)


async def test_a_share_needs_a_source_and_a_free_name(vm: Vm, folder: Path) -> None:
    with pytest.raises(HypervisorError, match="No such file"):
        await vm.share_add("data", folder / "none", True)
    await vm.share_add("data", folder, True)
    with pytest.raises(Conflict):
        await vm.share_add("data", folder, True)


async def test_shares_can_be_added_after_the_spawner_died(
    vm: Vm, options: DriverOptions, folder: Path
) -> None:
    await options.launcher.close()
    await vm.share_add("data", folder, True)
    async with shell(vm.agent_socket) as guest:
        await guest.output(MOUNT)
        assert "initrd" in await guest.output("ls /mnt/data")
