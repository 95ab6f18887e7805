"""Wires the parts of the engine together and runs its tasks; the facade `api` uses.

Engine
├── containers          life cycle of containers         ├── volumes   named volumes, snapshots
├── container_changes   their names and limits           ├── events    what happened
├── sessions            attach, exec, logs, top, stats   ├── kernels   kernels by name
├── files               cp, diff, export, commit         ├── pool      VMs that wait for a pod
├── pods                the VMs                          ├── system    info and doctor
├── pod_verbs           life cycle of pods               ├── memory    what pods take of the host's
├── pod_changes         their services, ports, size      └── images    the image store
└── balancing           services of networks
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hyper.core.metrics import Metrics
from hyper.engine import clocks, space
from hyper.engine.balancing import ServiceRegistry
from hyper.engine.container_changes import ContainerChanges
from hyper.engine.containers import Containers
from hyper.engine.creation import Creation
from hyper.engine.disk_use import DiskUses
from hyper.engine.events import EventFeed
from hyper.engine.files import Files
from hyper.engine.kernels import Kernels
from hyper.engine.membership import Memberships
from hyper.engine.memory import Memory
from hyper.engine.networks import NetworkRegistry
from hyper.engine.pod_changes import PodChanges
from hyper.engine.pod_verbs import PodVerbs
from hyper.engine.pods import Pods
from hyper.engine.pool import Pool
from hyper.engine.prewarm import expect_known
from hyper.engine.restore import restore
from hyper.engine.services import Services
from hyper.engine.sessions import Sessions
from hyper.engine.settings import Places, Settings
from hyper.engine.snapshots import Snapshots
from hyper.engine.store import Store
from hyper.engine.system import System
from hyper.engine.volumes import Volumes
from hyper.hypervisor.driver import Driver
from hyper.hypervisor.factory import Factory
from hyper.images.store import ImageStore
from hyper.network.directory import Directory
from hyper.network.networks import Networks
from hyper.storage.volume_disks import VolumeDisks
from hyper.storage.volumes import Volumes as VolumeFolders


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine; see the module docstring for its parts."""

    settings: Settings
    places: Places
    store: Store
    driver: Driver
    images: ImageStore
    containers: Containers
    sessions: Sessions
    files: Files
    pods: Pods
    pod_verbs: PodVerbs
    pod_changes: PodChanges
    container_changes: ContainerChanges
    volumes: Volumes
    snapshots: Snapshots
    networks: Memberships
    balancing: ServiceRegistry
    events: EventFeed
    kernels: Kernels
    system: System
    memory: Memory
    metrics: Metrics
    waiting_vms: Callable[[], Mapping[str, int]]
    pool: Pool


@dataclass(frozen=True, slots=True)
class Parts:
    """What the composition root made for the engine."""

    settings: Settings
    places: Places
    images: ImageStore
    driver: Driver
    factory: Factory
    networks: Networks
    names: Directory
    kernel: Path
    initrd: Path
    metrics: Metrics


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Engine]:
    """Run an engine: what an earlier one left is taken over; VMs go on when it ends."""
    store = Store(parts.places.database)
    try:
        feed = EventFeed()
        kernels = Kernels(parts.places.kernels, parts.kernel)
        volume_disks = VolumeDisks(parts.places.volumes)
        volumes = Volumes(store, feed, VolumeFolders(parts.places.volumes), volume_disks)
        registry = NetworkRegistry(store, feed, parts.networks)
        await registry.load()
        async with asyncio.TaskGroup() as tasks:
            pods = Pods(tasks)
            services = _services(parts, store, feed, registry, kernels, volumes, pods)
            creation = Creation(services, pods, volumes)
            containers = Containers(services, pods, volumes, creation)
            pod_verbs = PodVerbs(services, pods, creation)
            balancing = ServiceRegistry(services, pods)
            await balancing.load()
            await restore(services, pods)
            await parts.networks.restored()
            await parts.networks.balancer.restored()
            await balancing.refresh()
            # What a daemon that died in the middle of a pull left.
            await parts.images.collect_garbage(
                {view.spec.image_id for view in containers.list(all=True)}
            )
            background = _begin(
                tasks,
                factory=parts.factory.run(),
                services=balancing.run(),
                ended_pods=pod_verbs.remove_ended(),
                prewarm=expect_known(services, pods.all()),
                clocks=clocks.keep(services),
                space=space.keep(services),
            )
            yield Engine(
                parts.settings,
                parts.places,
                store,
                parts.driver,
                parts.images,
                containers,
                Sessions(pods, parts.metrics.stream_bytes),
                Files(services, pods),
                pods,
                pod_verbs,
                PodChanges(services, pods),
                ContainerChanges(services, pods),
                volumes,
                Snapshots(services, pods, volumes, volume_disks),
                Memberships(services, pods),
                balancing,
                feed,
                kernels,
                _system(parts, kernels, containers, pods),
                Memory(pods, parts.places.pool, parts.networks),
                parts.metrics,
                parts.factory.waiting,
                Pool(parts.factory),
            )
            for task in background:
                task.cancel()
            pods.close()
    finally:
        store.close()


def _services(
    parts: Parts,
    store: Store,
    feed: EventFeed,
    registry: NetworkRegistry,
    kernels: Kernels,
    volumes: Volumes,
    pods: Pods,
) -> Services:
    return Services(
        settings=parts.settings,
        places=parts.places,
        store=store,
        feed=feed,
        images=parts.images,
        driver=parts.driver,
        factory=parts.factory,
        networks=parts.networks,
        names=parts.names,
        registry=registry,
        kernel_of=kernels.path,
        initrd=parts.initrd,
        metrics=parts.metrics,
        disk_uses=DiskUses(),
        pods_changed=asyncio.Event(),
        pods_ended=asyncio.Queue(),
        release_volumes=volumes.release,
        pods=pods.all,
    )


def _begin(
    tasks: asyncio.TaskGroup, **running: Coroutine[None, None, None]
) -> list[asyncio.Task[None]]:
    return [tasks.create_task(each, name=name) for name, each in running.items()]


def _system(parts: Parts, kernels: Kernels, containers: Containers, pods: Pods) -> System:
    return System(
        parts.settings,
        parts.places,
        parts.driver,
        kernels,
        containers,
        pods,
        parts.images,
        parts.networks,
    )
