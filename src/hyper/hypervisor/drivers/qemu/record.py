"""Owns the record of a running QEMU: what is known of it, and the file a later daemon reads."""

from dataclasses import replace
from pathlib import Path

from hyper.host.files import atomic_write
from hyper.hypervisor.driver import RECORD_NAME, VmRecord


class KeptRecord:
    """A record whose every change is in its file before anybody acts on it."""

    __slots__ = ("_current",)

    def __init__(self, record: VmRecord) -> None:
        self._current = record

    @property
    def current(self) -> VmRecord:
        """What is known."""
        return self._current

    @property
    def short_id(self) -> str:
        """The VM as messages name it."""
        return self._current.vm_id[:12]

    def put(self, record: VmRecord) -> None:
        """Keep another record."""
        self._current = record
        path = Path(record.run_dir) / RECORD_NAME
        atomic_write(path, record.to_json().encode(), fsync=False)  # lives no longer than the boot

    def put_shares(self, names: tuple[str, ...]) -> None:
        """Keep other names of shares."""
        self.put(replace(self._current, shares=names))
