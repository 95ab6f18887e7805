"""Gives out VMs the fastest way there is: a waiting clone, a fork, a fresh clone, a boot.

Does not know what a VM is for. Templates are made in the background the first time a shape is asked
for, and zygotes (where the driver can fork) for the shapes in use; every failure of one falls back
to the next slower way: both are caches.

A taken VM is not fresh in every respect: its kernel has the template's random state and clock, and
its agent has already been spoken to once (by `ready`). The engine gives it an identity first.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hyper.core.errors import HyperError, HypervisorError, Timeout
from hyper.core.spec import Nic, NicKind, VmSpec
from hyper.core.units import GIB, MIB
from hyper.host.files import private_directory, remove_tree
from hyper.hypervisor.driver import Driver, Ready, Vm, end_leftover
from hyper.hypervisor.failures import Failures
from hyper.hypervisor.memory import PRESSURE_LIMIT_PERCENT, available_bytes, pressure_percent
from hyper.hypervisor.templates import Templates
from hyper.hypervisor.zygotes import Zygotes

_READY_S = 60.0
_LOOK_S = 5.0
_QUIET_S = 1.0
_MOST_QUIET_S = 3.0
_CLONE_BYTES = 96 * MIB  # what a waiting clone takes that has rehearsed, and some
_ZYGOTE_BYTES = 160 * MIB
_REHEARSALS = 2  # a third brings nothing

_log = logging.getLogger("hypervisor.factory")

MakeNic = Callable[[VmSpec], Awaitable[Nic | None]]
"""Give the network device of a VM that has no owner yet; it stays with the VM when it is taken."""

Rehearse = Callable[[Vm, VmSpec], Awaitable[None]]
"""Have a clone do once, while it waits, what a pod will do in it; it must leave no trace."""


@dataclass(frozen=True, slots=True)
class FactoryOptions:
    """`waiting`: clones kept ready per shape; `shapes`: how many shapes have such clones.

    `forks`: a clone may be a fork of a zygote, where the driver can do that.

    Below `reserve_bytes` of free memory no clone waits.
    """

    templates: bool = True
    forks: bool = True
    waiting: int = 0
    shapes: int = 2
    reserve_bytes: int = 512 * MIB
    templates_bytes: int = 2 * GIB
    templates_age_s: float = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What VMs of one shape can be had from; `spec` is None for a template of an earlier daemon."""

    key: str
    spec: VmSpec | None
    waiting: int
    template_bytes: int
    used_s: float
    failures: int
    zygote: bool = False


class Factory:
    """Owns the templates and the waiting clones of one daemon. `run` must run in its TaskGroup."""

    def __init__(
        self,
        driver: Driver,
        templates_dir: Path,
        run_dir: Path,
        ready: Ready,
        options: FactoryOptions,
        make_nic: MakeNic | None = None,
        rehearse: Rehearse | None = None,
    ) -> None:
        self._driver = driver
        self._options = options
        self._ready = ready
        self._make_nic = make_nic or _same_nic
        self._rehearse = rehearse
        self._run_dir = private_directory(run_dir)
        self._templates = Templates(templates_dir)
        self._shapes: dict[str, VmSpec] = {}
        self._waiting: dict[str, list[Vm]] = {}
        self._failures = Failures()  # of clones
        self._unmade = Failures()  # of templates
        self._zygotes = Zygotes(driver)
        self._uses: dict[str, int] = {}
        self._work = asyncio.Event()
        self._last_start = -_QUIET_S
        self._starting = asyncio.Event()

    @property
    def options(self) -> FactoryOptions:
        """The options in force."""
        return self._options

    def waiting(self) -> dict[str, int]:
        """Return how many clones wait, by template key."""
        return {key: sum(vm.is_running for vm in vms) for key, vms in self._waiting.items()}

    def shapes(self) -> tuple[Shape, ...]:
        """Return the shapes asked for and the templates there are, most recently used first."""
        templates = {template.key: template for template in self._templates.list()}
        asked = list(self._shapes)[::-1]
        found = []
        for key in (*asked, *(key for key in templates if key not in self._shapes)):
            template = templates.get(key)
            size, used = (template.size_bytes, template.used_s) if template else (0, 0.0)
            waiting = sum(vm.is_running for vm in self._waiting.get(key, ()))
            failures = self._failures.count(key) + self._unmade.count(key)
            zygote = key in self._zygotes
            found.append(Shape(key, self._shapes.get(key), waiting, size, used, failures, zygote))
        return tuple(found)

    def configure(self, options: FactoryOptions) -> None:
        """Change the options of a running factory (`hyper pool set`)."""
        self._options = options
        self._work.set()

    async def expect(self, spec: VmSpec) -> str:
        """Tell that VMs of this shape will be wanted; return its key, "" if it cannot be cloned."""
        if not self._options.templates:
            return ""
        key = await self._driver.template_key(spec)
        if key:
            self._shapes.pop(key, None)
            self._shapes[key] = replace(spec, disks=())  # most recently used last
            self._templates.use(key)
            self._work.set()
        return key

    async def take(self, spec: VmSpec) -> Vm | None:
        """Return a waiting clone of the shape of `spec`, not yet bound to it, or None.

        It has a network device of its own (`Vm.nic`). The caller binds it, or kills it.
        """
        self._note_start()
        return await self._take_running(await self.expect(spec))

    async def start(self, spec: VmSpec, taken: Vm | None = None) -> Vm:
        """Start a VM: the clone `taken` if there is one, else a new clone, else a boot.

        A clone that cannot be bound is replaced by a new one, unless `spec` has that clone's TAP.
        Raises HypervisorError.
        """
        self._note_start()
        key = await self.expect(spec)
        if taken is not None:
            if await self._bound(taken, spec):
                return taken
            if spec.nic is not None and spec.nic.kind is NicKind.TAP:
                raise HypervisorError("the waiting VM that was to be used has ended: try again")
        if key and (spec.nic is None or spec.nic.kind is not NicKind.TAP):
            while (vm := await self._take_running(key)) is not None:
                if await self._bound(vm, spec):
                    return vm
        self._uses[key] = self._uses.get(key, 0) + 1
        forked = await self._zygotes.fork(key, spec)
        if forked is not None:
            return forked
        template = self._templates.find(key) if key else None
        if template is not None:
            try:
                return await self._driver.clone(spec, template)
            except (HyperError, OSError) as err:
                _log.warning("cannot clone %s, booting instead: %s", key, err)
                self._distrust(key)
        return await self._driver.start(spec)

    def reject(self, spec_key: str) -> None:
        """Tell that a clone of this key was no good (its agent never answered)."""
        self._distrust(spec_key)

    async def end(self, vm: Vm) -> None:
        """End a VM that was taken and is not wanted after all."""
        await self._end(vm)

    async def run(self) -> None:
        """Make templates and keep clones waiting, until cancelled; then end the waiting ones."""
        try:
            await self._clear_leftovers()
            while True:
                self._work.clear()
                await self._work_safely()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._work.wait()
        finally:
            for key in list(self._waiting):
                await asyncio.shield(self._give_up(key))
            await asyncio.shield(self._zygotes.keep(()))

    async def _work_safely(self) -> None:
        """Work once; what goes wrong unexpectedly ends this round, not the daemon."""
        try:
            await self._work_once()
        except Exception:
            _log.exception("the pool could not be looked after")

    async def _work_once(self) -> None:
        newest = list(self._shapes)[::-1]
        for key in newest:
            wanted = key in self._shapes and not self._unmade.too_many(key)
            if wanted and self._templates.find(key) is None:
                await self._make(key)
        kept = list(self._shapes)[::-1][: self._options.shapes]
        for key in list(self._waiting):
            if key not in kept:
                await self._give_up(key)
        await self._zygotes.keep(() if self._short_of_memory() else kept)
        for key in kept:
            await self._warm_up(key)
            await self._fill(key)

    @contextlib.asynccontextmanager
    async def _unowned(self, key: str, kind: str) -> AsyncIterator[VmSpec]:
        """Give a VM of a shape that is no pod's: its folder, its network device, its priority."""
        shape = self._shapes[key]
        vm_id = f"{kind}-{secrets.token_hex(8)}"
        run_dir = private_directory(self._run_dir / vm_id)
        nic: Nic | None = None
        try:
            nic = await self._make_nic(shape)
            yield replace(shape, vm_id=vm_id, run_dir=run_dir, nic=nic, background=True)
        except BaseException:
            remove_tree(run_dir)
            raise
        finally:
            _close_tap(nic)  # the VMM has it, and it ends with the VMM

    async def _make(self, key: str) -> None:
        try:
            async with self._unowned(key, "template") as spec:
                async with self._templates.making(key) as directory:
                    if directory is not None:
                        begin = time.monotonic()
                        await self._driver.make_template(spec, directory, self._answering)
                        _log.info("made template %s in %.1f s", key, time.monotonic() - begin)
                remove_tree(spec.run_dir)
            limits = self._options.templates_bytes, self._options.templates_age_s
            for evicted in self._templates.evict(*limits):
                # Not made again before it is asked for again, or they would evict each other.
                self._shapes.pop(evicted, None)
                if evicted == key:  # larger than the limit
                    self._unmade.note(key)
        except (HyperError, OSError) as err:
            self._unmade.note(key)
            _log.warning("cannot make template %s: %s", key, err)

    async def _warm_up(self, key: str) -> None:
        """Make the zygote of a shape when clones of it shall wait, or it was used twice."""
        template = self._templates.find(key)
        used = self._options.waiting > 0 or self._uses.get(key, 0) > 1
        if template is None or not (self._options.forks and used and self._zygotes.wants(key)):
            return
        if self._short_of_memory(_ZYGOTE_BYTES):
            return
        await self._quiet()
        try:
            async with self._unowned(key, "zygote") as spec:
                await self._zygotes.make(key, spec, template, lambda vm: self._warm(vm, spec))
        except (HyperError, OSError) as err:
            _log.warning("no network device for a zygote: %s", err)

    async def _warm(self, vm: Vm, spec: VmSpec) -> None:
        await self._answering(vm.agent_socket)
        await vm.resume()  # it runs; but the monitor is connected now
        for _ in range(_REHEARSALS if self._rehearse else 0):
            assert self._rehearse is not None
            await self._rehearse(vm, spec)

    async def _fill(self, key: str) -> None:
        vms = self._waiting.setdefault(key, [])
        await self._bury(key)
        while len(vms) > self._options.waiting or (vms and self._short_of_memory()):
            await self._end(vms.pop())
        while len(vms) < self._options.waiting and not self._short_of_memory(_CLONE_BYTES):
            await self._quiet()
            vm = await self._waiting_clone(key)
            if vm is None:
                return
            vms.append(vm)

    async def _waiting_clone(self, key: str) -> Vm | None:
        template = self._templates.find(key)
        if template is None or self._failures.too_many(key):
            return None
        try:
            async with self._unowned(key, "pool") as spec:
                return await self._waiting_as(key, spec, template)
        except (HyperError, OSError) as err:
            _log.warning("a clone of %s is no good: %s", key, err)
            self._distrust(key)
            return None

    async def _waiting_as(self, key: str, spec: VmSpec, template: Path) -> Vm:
        fork = await self._zygotes.fork(key, spec)
        vm = fork or await self._driver.clone(spec, template)
        try:
            await self._answering(vm.agent_socket)
            if fork is None:  # its zygote has rehearsed; a clone does it itself
                await vm.resume()  # it runs; but the monitor is connected now, not when it is taken
                if self._rehearse is not None:
                    await self._rehearse(vm, spec)
        except BaseException:
            await self._end(vm)
            raise
        return vm

    async def _take_running(self, key: str) -> Vm | None:
        """Take a waiting clone; what has ended while it waited is cleared away."""
        while vms := self._waiting.get(key):
            vm = vms.pop(0)
            if vm.is_running:
                return vm
            await self._end(vm)
        return None

    async def _bury(self, key: str) -> None:
        """Clear away the waiting clones of a shape that have ended: killed, or out of memory."""
        vms = self._waiting.get(key, [])
        ended = [vm for vm in vms if not vm.is_running]
        vms[:] = [vm for vm in vms if vm not in ended]
        for vm in ended:
            _log.warning("a waiting clone of %s has ended by itself", key)
            await self._end(vm)

    async def _bound(self, vm: Vm, spec: VmSpec) -> bool:
        try:
            await vm.bind(spec)
        except HyperError as err:
            _log.warning("cannot use a waiting clone: %s", err)
            await self._end(vm)
            private_directory(spec.run_dir)
            return False
        except BaseException:
            await self._end(vm)
            raise
        return True

    async def _answering(self, agent_socket: Path) -> None:
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready(agent_socket)
        except TimeoutError:
            raise Timeout("the first answer of a VM's agent", _READY_S) from None

    async def _give_up(self, key: str) -> None:
        for vm in self._waiting.pop(key, []):
            await self._end(vm)

    async def _end(self, vm: Vm) -> None:
        await vm.kill()
        remove_tree(Path(vm.record.run_dir))

    async def _quiet(self) -> None:
        """Let starts of real pods go first: wait for a moment without one, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOST_QUIET_S):
                while (left := self._last_start + _QUIET_S - time.monotonic()) > 0:
                    self._starting.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._starting.wait()

    def _note_start(self) -> None:
        self._last_start = time.monotonic()
        self._starting.set()

    def _short_of_memory(self, more_bytes: int = 0) -> bool:
        """Tell whether the host needs its memory, or would with `more_bytes` in use."""
        left = available_bytes() - more_bytes
        return left < self._options.reserve_bytes or pressure_percent() > PRESSURE_LIMIT_PERCENT

    def _distrust(self, key: str) -> None:
        """Count a failure; a template that keeps failing is made anew, a few times."""
        self._zygotes.doubt(key)
        self._failures.note(key)
        if self._failures.too_many(key):
            self._templates.remove(key)
            self._failures.forget(key)
            self._unmade.note(key)
            self._work.set()

    async def _clear_leftovers(self) -> None:
        """End the clones that waited for an earlier daemon: nobody can own them."""
        for run_dir in self._run_dir.iterdir():
            try:
                await end_leftover(self._driver, run_dir)
            except HyperError as err:
                _log.warning("what waited for an earlier daemon stays: %s", err)
                continue
            remove_tree(run_dir)


def _close_tap(nic: Nic | None) -> None:
    if nic is not None and nic.tap_fd >= 0:
        os.close(nic.tap_fd)


async def _same_nic(spec: VmSpec) -> Nic | None:
    return replace(spec.nic, forwards=(), tap_fd=-1, tap="") if spec.nic is not None else None
