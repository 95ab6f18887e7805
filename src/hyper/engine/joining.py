"""Owns `--network container:NAME` and `--ipc container:NAME`: which pod that means, whose names.

A pod's containers share its network as it is, so nothing is done for it once they are in one.
"""

from dataclasses import replace

from hyper.core.errors import Conflict, InvalidArgument, NotFound, Unsupported
from hyper.core.spec import JOINS, ContainerSpec
from hyper.engine.container import Container
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.states import ACTIVE, ContainerState


def settle(pods: Pods, spec: ContainerSpec, pod: Pod | None) -> tuple[ContainerSpec, Pod | None]:
    """Return a specification that names by id whose network and IPC it shares, and their pod.

    `pod` is what was asked for besides. Raises InvalidArgument, Unsupported when it is another.
    """
    if spec.shares_network_of:
        spec, pod = _settle_network(pods, spec, pod)
    if spec.ipc_mode.startswith(JOINS):
        reference = spec.ipc_mode.removeprefix(JOINS)
        host, target = _find(pods, reference)
        if host is not pod:
            raise Unsupported(
                f"HostConfig.IpcMode '{spec.ipc_mode}' is not supported: only containers of one "
                f"pod share IPC: add --network container:{reference}"
            )
        spec = replace(spec, ipc_mode=JOINS + target.id)
    return spec, pod


def _settle_network(pods: Pods, spec: ContainerSpec, pod: Pod | None) -> tuple[ContainerSpec, Pod]:
    host, target = _find(pods, spec.shares_network_of)
    if pod not in (None, host):
        raise InvalidArgument(
            f"conflicting options: container {spec.shares_network_of} is not in the pod {spec.pod}"
        )
    spec = replace(
        spec,
        network_mode=JOINS + target.id,
        hostname=target.hostname,
        domainname=target.spec.domainname,
    )
    return spec, host


def _find(pods: Pods, reference: str) -> tuple[Pod, Container]:
    """As find_container; but clients take a 404 of create for a missing image, and pull."""
    try:
        return find_container(pods, reference)
    except NotFound as err:
        raise InvalidArgument(str(err)) from err


def check(pod: Pod, container: Container) -> None:
    """Check at a start that whose network it shares has one. Raises NotFound, Conflict."""
    target_id = container.spec.shares_network_of
    if not target_id:
        return
    target = pod.containers.get(target_id)
    if target is None:
        raise NotFound("container", target_id)
    if target.status.state not in ACTIVE:
        raise Conflict(f"cannot join network of a non running container: {target_id}")
    if target.status.state is ContainerState.RESTARTING:
        raise Conflict(f"Container {target_id} is restarting, wait until the container is running")


def names_of(pod: Pod, container: Container) -> ContainerSpec:
    """Return the specification that says what a container's /etc/hosts and resolv.conf have."""
    while found := pod.containers.get(container.spec.shares_network_of):
        container = found
    return container.spec
