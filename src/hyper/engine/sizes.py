"""Owns how much containers have written: the lengths of their files, as Docker adds them up.

The guest adds up: of a running container when somebody asks, of another when its files are
unmounted. A VM is made for the purpose only where that was not possible, as when its own was
killed.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from hyper.agent import messages as guest
from hyper.core.errors import Failure, HyperError, NotFound
from hyper.engine import lifecycle, written
from hyper.engine.container import Container
from hyper.engine.jobs import job
from hyper.engine.pod import Pod
from hyper.engine.pods import Pods, find_container
from hyper.engine.states import ContainerState
from hyper.engine.visits import files_of
from hyper.images.store import ImageStore

UNKNOWN = -1
"""What Docker says of a container whose size cannot be found out."""
_AT_ONCE = 4
_GOING = (ContainerState.REMOVING, ContainerState.DEAD)


class Sizes:
    """The sizes of containers."""

    def __init__(self, pods: Pods, images: ImageStore) -> None:
        self._pods = pods
        self._images = images

    async def of(self, references: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the bytes each container has written, and those with its image's layers.

        One that is removed meanwhile is left out.
        """
        found: dict[str, tuple[int, int]] = {}
        places = asyncio.Semaphore(_AT_ONCE)

        async def find(reference: str) -> None:
            async with places:
                try:
                    pod, container = find_container(self._pods, reference)
                    found[reference] = await self._sizes(pod, container)
                except NotFound:
                    return

        async with asyncio.TaskGroup() as tasks:
            for reference in references:
                tasks.create_task(find(reference), name=f"size of {reference[:12]}")
        return found

    async def _sizes(self, pod: Pod, container: Container) -> tuple[int, int]:
        image_bytes = self._images.get(container.spec.image_id).size_bytes
        try:
            own = await _written(pod, container)
        except HyperError as err:
            pod.log.warning("the size of container %s: %s", container.id[:12], err)
            return UNKNOWN, image_bytes
        return own, own + image_bytes


async def _written(pod: Pod, container: Container) -> int:
    in_use = container.active or container.id in pod.visits
    noted = None if in_use else written.get(container)
    if noted is not None:
        return noted
    if container.status.state in _GOING:
        return UNKNOWN
    watch = partial(lifecycle.watch, pod)
    async with (
        files_of(pod, container, watch) as machine,
        job(machine, container.id, partial(guest.SizeRead, container.id)) as adding,
    ):
        answer = b"".join([data async for data in adding.output()])
    try:
        found = guest.decode(guest.ContainerSize.TYPE, answer)
    except guest.ProtocolError as err:
        raise Failure(f"the guest's answer about a size is malformed: {err}") from err
    assert isinstance(found, guest.ContainerSize)
    return found.written_bytes
