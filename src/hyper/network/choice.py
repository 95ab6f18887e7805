"""Which back end this host gets: the pods' namespace where it can be had, else the VMM's own."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hyper.core.errors import HyperError, Unavailable
from hyper.network.directory import Directory
from hyper.network.namespace import Namespace
from hyper.network.networks import Networks
from hyper.network.resolver import Resolver
from hyper.network.routed import RoutedNetworks
from hyper.network.user import UserNetworks

_log = logging.getLogger("network")


@asynccontextmanager
async def networks(run_dir: Path, wish: str, directory: Directory) -> AsyncIterator[Networks]:
    """Give the back end: `wish` is auto, namespace (or fail) or user.

    `directory` is where it keeps the pods' names.

    The namespace ends with the daemon unless a pod is in it. Raises Unavailable when a namespace is
    wished for and cannot be had.
    """
    if wish == "user":
        yield UserNetworks("chosen by the configuration")
        return
    namespace = Namespace(run_dir)
    try:
        state = await namespace.open()
    except HyperError as err:
        await namespace.close(end=False)
        if wish == "namespace":
            raise Unavailable(str(err)) from err
        _log.warning("pods do not see each other, only published ports work: %s", err)
        yield UserNetworks(str(err))
        return
    if not state["uplink"]:
        _log.warning("pods have no way out: install the package slirp4netns")
    elif not state.get("shared", True):
        _log.warning("the host's kernel lacks nft_connlimit: one pod can take all connections out")
    elif namespace.flaw:
        advice = "install the package slirp4netns, or a newer passt"
        _log.warning("%s %s: %s", namespace.uplink, namespace.flaw, advice)
    async with asyncio.TaskGroup() as tasks:
        resolver = Resolver(directory.lookup, tasks)
        directory.follow(namespace.tell_names)

        async def answer() -> None:
            resolver.serve(*await namespace.resolver_sockets())

        try:
            yield RoutedNetworks(namespace, directory, answer)
        finally:
            resolver.close()
            await _close(namespace)


async def _close(namespace: Namespace) -> None:
    try:
        state = await namespace.ask("hello")
    except HyperError:
        await namespace.close(end=False)
        return
    await namespace.close(end=not state["taps"])
