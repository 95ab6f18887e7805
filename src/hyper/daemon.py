"""hyperd: the composition root. Makes the parts, connects them, runs them; nothing else.

Options follow dockerd's names. See engine/settings.py for the configuration file.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from hyper import __version__
from hyper.agent import capabilities
from hyper.agent.messages import PROTOCOL_FINGERPRINT
from hyper.agent.seccomp import default_program
from hyper.api.server import Server
from hyper.core.errors import HyperError, Unavailable
from hyper.core.metrics import Metrics
from hyper.core.spec import Nic, NicKind, VmSpec
from hyper.engine.boot import greet
from hyper.engine.engine import Engine, Parts, running
from hyper.engine.rehearsal import Rehearsal
from hyper.engine.settings import Places, Settings, default_places, load_settings
from hyper.host import limits, logs, memory
from hyper.host.artifacts import check_protocol, find_initrd, find_kernel, find_vmfork
from hyper.host.files import private_directory
from hyper.hypervisor.driver import DriverOptions, create_driver
from hyper.hypervisor.factory import Factory, FactoryOptions
from hyper.hypervisor.launcher import Launcher
from hyper.images.http import RegistryOptions
from hyper.images.store import ImageStore
from hyper.network.choice import networks as open_networks
from hyper.network.directory import Directory

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_OPEN_FILES = 1 << 20  # those of its unit in packaging/systemd
_ENDING_S, _LOOK_S = 30.0, 0.05
_log = logging.getLogger("hyperd")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return hyperd's options."""
    parser = argparse.ArgumentParser(
        prog="hyperd", description="Run Docker images as virtual machines."
    )
    parser.add_argument(
        "-H",
        "--host",
        action="append",
        default=[],
        metavar="URL",
        help="socket to listen on (unix:///path or tcp://address:port); may be repeated",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of what survives")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of sockets and pids")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (JSON)")
    parser.add_argument("-l", "--log-level", choices=tuple(LEVELS), help="default: info")
    parser.add_argument("--log-format", choices=logs.FORMATS, help="default: text")
    parser.add_argument(
        "--metrics-addr", metavar="ADDRESS:PORT", help="serve metrics for Prometheus there as well"
    )
    parser.add_argument("-v", "--version", action="version", version=f"hyperd {__version__}")
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit status."""
    options = parse_arguments(argv)
    memory.share_one_heap()
    limits.allow_open_files(_OPEN_FILES)
    try:
        settings, places = _configure(options)
        logs.configure(LEVELS[settings.log_level], settings.log_format)
        if options.ready_fd is not None:
            os.chdir("/")  # started in the background: keep nobody's folder busy
        # Compiling the default filter takes milliseconds that the first container need not wait.
        default_program(capabilities.DEFAULT)
        # Who was started because nobody answers may find the one before still ending.
        with _locked(places, 0.0 if options.ready_fd is None else _ENDING_S):
            asyncio.run(_run(settings, places, options.ready_fd))
    except HyperError as err:
        print(f"hyperd: {err}", file=sys.stderr)
        return 1
    except BaseExceptionGroup as group:
        # What failed at the start did so inside the task groups of what had started before.
        ours, others = group.split(HyperError)
        if ours is None or others is not None:
            raise
        print(f"hyperd: {_first(ours)}", file=sys.stderr)
        return 1
    return 0


def _first(group: BaseExceptionGroup[HyperError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _configure(options: argparse.Namespace) -> tuple[Settings, Places]:
    settings = load_settings(options.config)
    if options.log_level:
        settings = replace(settings, log_level=options.log_level)
    if options.log_format:
        settings = replace(settings, log_format=options.log_format)
    if options.metrics_addr:
        settings = replace(settings, metrics_address=options.metrics_addr)
    default = default_places()
    places = Places(
        root=(options.root or Path(settings.root or default.root)).absolute(),
        run=(options.run_dir or default.run).absolute(),
    )
    hosts = tuple(options.host) or settings.hosts or (f"unix://{places.socket}",)
    for folder in (places.root, places.run, places.pods, places.containers, places.volumes):
        private_directory(folder)
    return replace(settings, hosts=hosts), places


@contextlib.contextmanager
def _locked(places: Places, patience_s: float) -> Iterator[None]:
    """Hold the root folder's lock: two daemons on one root would destroy each other's state."""
    deadline = time.monotonic() + patience_s
    with open(places.root / "lock", "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    root = places.root
                    raise Unavailable(f"another hyperd uses the root folder {root}") from None
                time.sleep(_LOOK_S)
        yield


async def _run(settings: Settings, places: Places, ready_fd: int | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(_engine(settings, places))
        server = Server(engine, settings.group)
        await server.start(settings.hosts)
        stack.push_async_callback(server.stop)
        if settings.metrics_address:
            await server.serve_metrics(settings.metrics_address)
        _log.info("hyperd %s serves %s", __version__, ", ".join(settings.hosts))
        if ready_fd is not None:
            os.write(ready_fd, b"1")
            os.close(ready_fd)
        memory.trim()
        await stop.wait()
        _log.info("stopping; pods go on running")


@asynccontextmanager
async def _engine(settings: Settings, places: Places) -> AsyncIterator[Engine]:
    kernel = Path(settings.kernel) if settings.kernel else find_kernel()
    initrd = Path(settings.initrd) if settings.initrd else find_initrd()
    check_protocol(initrd, PROTOCOL_FINGERPRINT)
    async with AsyncExitStack() as stack:
        launcher = Launcher()
        await launcher.start()
        stack.push_async_callback(launcher.close)
        driver = create_driver(
            "qemu",
            DriverOptions(
                root=places.root,
                kernel=kernel,
                initrd=initrd,
                launcher=launcher,
                accelerator=settings.accelerator,
                program=settings.qemu,
                vmfork=find_vmfork(),
            ),
        )
        images = ImageStore(
            places.images,
            options=RegistryOptions(
                mirrors=settings.registry_mirrors,
                insecure=settings.insecure_registries,
                max_concurrent_downloads=settings.max_concurrent_downloads,
            ),
        )
        stack.push_async_callback(images.close)
        options = FactoryOptions(
            templates=settings.templates,
            forks=settings.forks,
            waiting=settings.pool_waiting,
            shapes=settings.pool_shapes,
        )
        names = Directory()
        networks = await stack.enter_async_context(
            open_networks(places.run, settings.network, names)
        )

        async def make_nic(spec: VmSpec) -> Nic:
            if spec.nic is not None and spec.nic.kind is NicKind.NONE:
                return spec.nic
            return await networks.make_device()

        rehearsal = Rehearsal(places.rehearsal, places.empty_disks)
        factory = Factory(
            driver,
            places.templates,
            places.pool,
            greet,
            options,
            make_nic,
            rehearse=rehearsal.perform,
        )
        parts = Parts(
            settings, places, images, driver, factory, networks, names, kernel, initrd, Metrics()
        )
        yield await stack.enter_async_context(running(parts))


if __name__ == "__main__":
    sys.exit(main())
