"""Owns the note of how much a container had written when its files were last unmounted.

It lies beside the writable disk and holds for one run: another start makes it out of date, and so
does a visit, which ends with a note of its own.
"""

from hyper.engine.container import Container

_NAME = "written"


def put(container: Container, written_bytes: int) -> None:
    """Keep a note; of a container whose folder is gone, none."""
    if container.rw_disk.exists():
        note = container.folder / _NAME
        note.write_text(f"{container.status.started_ns} {written_bytes}\n")


def drop(container: Container) -> None:
    """Throw the note away: somebody is about to write."""
    (container.folder / _NAME).unlink(missing_ok=True)


def get(container: Container) -> int | None:
    """Return what the container had written at the end of its last run, None when not known."""
    if not container.rw_disk.exists():
        return 0
    try:
        run, _, size = (container.folder / _NAME).read_text().partition(" ")
        return int(size) if int(run) == container.status.started_ns else None
    except (FileNotFoundError, ValueError):  # a daemon that was killed may leave half a note
        return None
