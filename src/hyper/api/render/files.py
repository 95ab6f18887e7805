"""Owns a container's files as Docker shows them: the stat header, lists of changes."""

import base64
import json
import stat
from collections.abc import Sequence

from hyper.api.times import rfc3339
from hyper.engine.files import FileChange, FileStat

STAT_HEADER = "X-Docker-Container-Path-Stat"

# Go's io/fs FileMode
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    """Return an st_mode as Go's FileMode, which Docker's clients decode."""
    bits = sum(go for bit, go in _BITS.items() if mode & bit)
    return _KINDS.get(stat.S_IFMT(mode), 0) | bits | (mode & 0o777)


def stat_header(found: FileStat) -> str:
    """Return the value of the header that says what is at a path."""
    shown = {
        "name": found.name,
        "size": found.size_bytes,
        "mode": go_mode(found.mode),
        "mtime": rfc3339(found.mtime_ns) if found.mtime_ns else "1970-01-01T00:00:00Z",
        "linkTarget": found.link_target,
    }
    return base64.b64encode(json.dumps(shown).encode()).decode()


def changes(found: Sequence[FileChange]) -> list[dict[str, object]] | None:
    """Return the body of GET /containers/{id}/changes: null when there are none, as Docker's."""
    return [{"Path": item.path, "Kind": "CAD".index(item.kind)} for item in found] or None
