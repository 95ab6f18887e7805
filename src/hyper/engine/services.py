"""What every pod needs from the daemon, wired once in `engine.py`: plain references, no
behaviour.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyper.core.metrics import Metrics
from hyper.engine.disk_use import DiskUses
from hyper.engine.events import Event, EventFeed
from hyper.engine.networks import NetworkRegistry
from hyper.engine.settings import Places, Settings
from hyper.engine.store import Store
from hyper.engine.views import MountView
from hyper.hypervisor.driver import Driver
from hyper.hypervisor.factory import Factory
from hyper.images.store import ImageStore
from hyper.network.directory import Directory
from hyper.network.networks import Networks

if TYPE_CHECKING:
    from hyper.engine.pod import Pod


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of a pod. `kernel_of` resolves a kernel's name; `pods_changed` is set when
    a pod came, went, or became ready or not; `pods_ended` has the ids of those that stopped and are
    to be removed then; `pods` are all of them.
    """

    settings: Settings
    places: Places
    store: Store
    feed: EventFeed
    images: ImageStore
    driver: Driver
    factory: Factory
    networks: Networks
    names: Directory
    registry: NetworkRegistry
    kernel_of: Callable[[str], Path]
    initrd: Path
    metrics: Metrics
    disk_uses: DiskUses
    pods_changed: asyncio.Event
    pods_ended: "asyncio.Queue[str]"
    release_volumes: Callable[[Sequence[MountView]], Awaitable[None]]
    pods: Callable[[], "list[Pod]"]

    async def tell(self, *events: Event) -> None:
        """Store events that come with no other change, then hand them to those who listen."""
        await self.store.call(self.store.put_events, events)
        self.feed.publish(*events)

    def tell_at_once(self, *events: Event) -> None:
        """As `tell`, but nobody waits for the disk."""
        self.feed.publish(*events)
        self.store.post(self.store.put_events, events)
