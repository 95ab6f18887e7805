"""The zygotes of a daemon, one per shape of VM: making, forking and ending them.

Does not decide which shapes get one (`factory`), nor how a VM is forked (the driver). A zygote is a
cache: whatever goes wrong with it ends it, and the VM is started in a slower way. Where VMs cannot
be forked that is found out once, by trying.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from hyper.core.errors import HyperError, Unsupported
from hyper.core.spec import VmSpec
from hyper.host.files import remove_tree
from hyper.hypervisor.driver import Driver, Vm, Warm, Zygote
from hyper.hypervisor.failures import Failures

_log = logging.getLogger("hypervisor.zygotes")


class Zygotes:
    """Owns the zygotes; a key is that of the template a zygote was made from."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._zygotes: dict[str, tuple[Zygote, Path]] = {}
        self._failures = Failures()
        self._doubted: set[str] = set()
        self._impossible = False

    def __contains__(self, key: str) -> bool:
        return key in self._zygotes and self._zygotes[key][0].is_running

    def wants(self, key: str) -> bool:
        """Tell whether one of this shape could be made and is not there."""
        missing = key not in self._zygotes and not self._failures.too_many(key)
        return missing and not self._impossible

    async def make(self, key: str, spec: VmSpec, template: Path, warm: Warm) -> None:
        """Make the zygote of a shape, if that can be; its `run_dir` is removed after its end."""
        begin = time.monotonic()
        try:
            zygote = await self._driver.make_zygote(spec, template, warm)
            self._zygotes[key] = zygote, spec.run_dir
            _log.info("made zygote %s in %.1f s", key, time.monotonic() - begin)
        except Unsupported as err:
            self._impossible = True
            _log.info("VMs are cloned, not forked: %s", err)
        except (HyperError, OSError) as err:
            self._fail(key, f"cannot make zygote {key}: {err}")
        finally:
            if key not in self._zygotes:
                remove_tree(spec.run_dir)

    async def fork(self, key: str, spec: VmSpec) -> Vm | None:
        """Return a running VM of this shape; None if there is no zygote of it, or it failed."""
        if key not in self._zygotes or key in self._doubted:
            return None
        try:
            return await self._zygotes[key][0].fork(spec)
        except (HyperError, OSError) as err:
            self._fail(key, f"cannot fork {key}: {err}")
            self._doubted.add(key)
            return None

    def doubt(self, key: str) -> None:
        """Tell that a VM of this shape was no good: nothing is forked until there is a new one."""
        if key in self._zygotes and key not in self._doubted:
            self._fail(key, f"a VM of {key} did not answer: its zygote is ended")
            self._doubted.add(key)

    async def keep(self, keys: Iterable[str]) -> None:
        """End the zygotes of other shapes, and those in doubt or dead."""
        for key in [key for key in self._zygotes if key not in self._doubted]:
            if not self._zygotes[key][0].is_running:
                self._fail(key, f"the zygote {key} has ended by itself")
                self._doubted.add(key)
        kept = set(keys) - self._doubted
        for key in [key for key in self._zygotes if key not in kept]:
            self._doubted.discard(key)
            zygote, run_dir = self._zygotes.pop(key)
            await zygote.end()
            remove_tree(run_dir)

    def _fail(self, key: str, text: str) -> None:
        self._failures.note(key)
        _log.warning("%s", text)
