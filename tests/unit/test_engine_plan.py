"""What a user asked for becomes what the guest is told, as dockerd would do it."""

from types import SimpleNamespace
from typing import cast

import pytest

from hyper.agent.client import AgentClient
from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.core.spec import ContainerSpec, MountKind, Resources
from hyper.engine import plan
from hyper.engine.machine import Machine
from hyper.engine.views import Command, MountView, NetworkView
from hyper.hypervisor.driver import Vm
from hyper.network.networks import Joined, Link

IMAGE = ("PATH=/bin", "A=image", "B=image")


def test_own_variables_come_first_and_the_images_fill_up() -> None:
    assert plan.configured_env(("A=own", "C=1"), IMAGE) == ("A=own", "C=1", "PATH=/bin", "B=image")
    with pytest.raises(InvalidArgument, match="invalid environment variable: =x"):
        plan.configured_env(("=x",), IMAGE)


def test_a_name_without_a_value_is_shown_and_unset_when_a_process_starts() -> None:
    env = plan.configured_env(("A",), IMAGE)
    assert env == ("A", "PATH=/bin", "B=image")
    command = Command(("sh",), (), ("sh",), env, "/", "", "SIGTERM")
    found = plan.process_env(ContainerSpec("busybox"), command, "web", "", tty=False)
    assert found == ("PATH=/bin", "HOSTNAME=web", "B=image")


@pytest.mark.parametrize(
    ("cpuset", "highest"), [("", -1), ("0", 0), ("0,1", 1), ("0-3", 3), ("2,0-1", 2)]
)
def test_a_vm_has_the_cpus_its_containers_name(cpuset: str, highest: int) -> None:
    assert plan.highest_cpu(cpuset) == highest
    spec = ContainerSpec("busybox", resources=Resources(cpuset=cpuset))
    assert plan.vm_vcpus([spec], 1, 4) == max(1, highest + 1)


def test_a_cpu_the_host_lacks_is_refused() -> None:
    spec = ContainerSpec("busybox", resources=Resources(cpuset="0,4"))
    with pytest.raises(InvalidArgument, match="requested 0,4, available: 0-3"):
        plan.vm_vcpus([spec], 1, 4)


@pytest.mark.parametrize(
    ("limits_mib", "vm_mib"), [((64,), 128), ((32, 32), 128), ((320,), 512), ((1984,), 2176)]
)
def test_a_vm_has_what_its_containers_may_use_and_the_kernels_share(
    limits_mib: tuple[int, ...], vm_mib: int
) -> None:
    specs = [
        ContainerSpec("busybox", resources=Resources(memory_bytes=limit << 20))
        for limit in limits_mib
    ]
    assert plan.vm_memory_bytes(specs, 512 << 20) == vm_mib << 20


def test_a_vm_of_a_container_without_a_limit_has_the_default() -> None:
    specs = [
        ContainerSpec("busybox"),
        ContainerSpec("busybox", resources=Resources(memory_bytes=1)),
    ]
    assert plan.vm_memory_bytes(specs, 512 << 20) == 512 << 20


def test_what_is_only_read_is_a_share_of_its_own() -> None:
    for read_only in (
        MountView(MountKind.BIND, "/d", source="/data", read_only=True),
        MountView(MountKind.VOLUME, "/d", "data", "/data", read_only=True),
        MountView(MountKind.VOLUME, "/d", "data", "/data", read_only=True, subpath="x"),
    ):
        assert plan.is_shared_read_only(read_only)
        assert plan.share_name(read_only).startswith("read-")
    disk = VolumeSource(Medium.DISK, "/data.img")
    for other in (
        MountView(MountKind.VOLUME, "/d", "data", "/data"),
        MountView(MountKind.VOLUME, "/d", "data", read_only=True, volume=disk),
        MountView(MountKind.VOLUME, "/d", "data", "/data", True, subpath="x", subpath_mode=0o755),
    ):
        assert not plan.is_shared_read_only(other) and plan.share_name(other) == "data"


def test_an_empty_volume_that_is_only_read_is_filled_before_it_is_sealed() -> None:
    mount = MountView(MountKind.VOLUME, "/d", "data", "/data", read_only=True)
    name = plan.share_name(mount)
    assert plan.user_mounts([mount], fresh=True, unsealed={name})[0].populate
    assert not plan.user_mounts([mount], fresh=True)[0].populate
    assert not plan.user_mounts([mount], fresh=False, unsealed={name})[0].populate


def test_a_vm_of_an_earlier_release_knows_what_is_only_read_by_the_name_for_all() -> None:
    mount = MountView(MountKind.BIND, "/d", source="/data", read_only=True)
    named = MountView(MountKind.VOLUME, "/d", "data", "/data", read_only=True)

    def known(shares: tuple[str, ...], mount: MountView) -> str:
        vm = cast(Vm, SimpleNamespace(record=SimpleNamespace(shares=shares)))
        agent, link = cast(AgentClient, None), cast(Link, None)
        return Machine(vm, agent, NetworkView(), (), "h", link).known_as(mount)

    now, earlier = plan.share_name(mount), plan.writable_name(mount)
    assert known((earlier,), mount) == earlier
    assert known((earlier, now), mount) == now
    assert known(("data",), named) == "data"
    assert known(("data", now), named) == now


@pytest.mark.parametrize(
    ("hostname", "domainname", "names"),
    [
        ("web", "", "web"),
        ("web", "example.org", "web.example.org web"),
        ("web.example.org", "", "web.example.org web"),
        ("web.a", "b", "web.a.b web"),
    ],
)
def test_a_container_knows_its_full_name_and_the_bare_one(
    hostname: str, domainname: str, names: str
) -> None:
    spec = ContainerSpec("busybox", domainname=domainname)
    joined = Joined("n", 1, "", "10.1.2.3", 24, "")
    _, hosts, _ = plan.identity_files(spec, hostname, [joined], [], "")
    assert hosts.data.decode().splitlines()[-1] == f"10.1.2.3\t{names}"


def test_a_tmpfs_says_its_mode_only_if_it_was_given_one() -> None:
    found = plan._tmpfs(MountView(MountKind.TMPFS, "/t", options=("size=1m",)))
    assert found.options == "size=1m"
    assert plan._tmpfs(MountView(MountKind.TMPFS, "/t", mode=0o1777)).options == "mode=1777"
    assert plan._tmpfs(MountView(MountKind.TMPFS, "/t", options=("mode=5",))).options == "mode=5"
