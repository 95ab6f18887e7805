"""Owns what a new daemon expects to be asked for: VMs of the shapes that were used before it.

The pool fills for shapes that somebody asked for, so after a restart the first start of each would
find it empty. Only shapes with a template on disk are expected: nothing is booted on a guess.
"""

import logging
from collections.abc import Iterable

from hyper.core.errors import HyperError
from hyper.core.ids import new_id
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import VmSpec
from hyper.engine.boot import vm_shape
from hyper.engine.pod import Pod
from hyper.engine.services import Services
from hyper.engine.states import PodState
from hyper.engine.store import PodRow
from hyper.hypervisor.driver import Driver
from hyper.hypervisor.factory import Factory

_log = logging.getLogger("engine.prewarm")


async def expect_known(services: Services, pods: Iterable[Pod]) -> None:
    """Have the pool fill for the shape of a plain `hyper run` and those of the pods there are."""
    if not services.factory.options.templates:
        return
    plain = PodRow(new_id(), 0, PodSpec(name=""), PodState.STOPPED, "", "")
    wanted = [vm_shape(plain, services, [], connected=True)]
    for pod in pods:
        containers = tuple(pod.containers.values())
        connected = bool(services.registry.wanted(pod.row.spec, containers))
        specs = [container.spec for container in containers]
        try:
            wanted.append(vm_shape(pod.row, services, specs, connected=connected))
        except HyperError as err:  # the host has fewer CPUs now, or the kernel was removed
            _log.info("no VMs are kept for pod %s: %s", pod.row.spec.name, err)
    try:
        await expect(services.factory, services.driver, wanted)
    except HyperError as err:  # no QEMU: each start will say so
        _log.info("no VMs are kept waiting yet: %s", err)


async def expect(factory: Factory, driver: Driver, wanted: Iterable[VmSpec]) -> None:
    """Expect those that have a template and were not asked for yet, the latest used last."""
    used = {shape.key: shape.used_s for shape in factory.shapes() if shape.spec is None}
    found: dict[str, VmSpec] = {}
    for spec in wanted:
        key = await driver.template_key(spec)
        if key in used:
            found[key] = spec
    for key in sorted(found, key=lambda key: used[key]):
        await factory.expect(found[key])
