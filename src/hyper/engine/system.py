"""What the daemon can say of itself and its host: info, disk usage, the doctor's checks."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyper.core.errors import HyperError
from hyper.engine import doctor
from hyper.engine.containers import Containers
from hyper.engine.kernels import Kernels, kernel_version
from hyper.engine.pods import Pods
from hyper.engine.settings import Places, Settings
from hyper.engine.sizes import Sizes
from hyper.engine.states import ContainerState
from hyper.hypervisor.check import Check
from hyper.hypervisor.driver import Capabilities, Driver
from hyper.images.store import ImageStore
from hyper.network.networks import Networks


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """Facts for `hyper info`; memory in bytes."""

    containers: int
    running: int
    paused: int
    stopped: int
    pods: int
    cpus: int
    memory_bytes: int
    host_kernel: str
    guest_kernel: str
    operating_system: str
    architecture: str
    host_name: str
    root: Path
    capabilities: Capabilities
    settings: Settings


class System:
    """The daemon and its host."""

    def __init__(
        self,
        settings: Settings,
        places: Places,
        driver: Driver,
        kernels: Kernels,
        containers: Containers,
        pods: Pods,
        images: ImageStore,
        networks: Networks,
    ) -> None:
        self._settings = settings
        self._places = places
        self._driver = driver
        self._kernels = kernels
        self._containers = containers
        self._pods = pods
        self._sizes = Sizes(pods, images)
        self._networks = networks

    async def info(self) -> SystemInfo:
        """Return the facts. Finds out the acceleration if no VM was started yet."""
        views = self._containers.list(all=True)
        running = sum(view.state is ContainerState.RUNNING for view in views)
        paused = sum(view.state is ContainerState.PAUSED for view in views)
        try:
            guest_kernel = kernel_version(self._kernels.path(""))
        except HyperError:
            guest_kernel = ""
        return SystemInfo(
            containers=len(views),
            running=running,
            paused=paused,
            stopped=len(views) - running - paused,
            pods=len(self._pods.list()),
            cpus=os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            host_kernel=platform.release(),
            guest_kernel=guest_kernel,
            operating_system=_operating_system(),
            architecture=platform.machine(),
            host_name=platform.node(),
            root=self._places.root,
            capabilities=await self._driver.capabilities(),
            settings=self._settings,
        )

    async def container_sizes(self, references: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the bytes containers have written, and those with their images' layers.

        One that is removed meanwhile is left out.
        """
        return await self._sizes.of(references)

    async def doctor(self) -> tuple[Check, ...]:
        """Return what is right and wrong with this host, each with what to do."""
        return await doctor.diagnose(self._driver, self._kernels, self._places.root, self._networks)


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
