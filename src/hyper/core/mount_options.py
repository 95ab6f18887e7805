"""Owns the options of mounts: which words are flags of mount(2), and what the NFS client takes.

Pure. Options come as mount(8) writes them, with commas between. NFS: nfs(5), and for what the
kernel itself reads, linux/fs/nfs/fs_context.c "nfs_fs_parameters".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyper.core.errors import InvalidArgument

# linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS = 1, 2, 4, 8, 16
MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME = 128, 1024, 2048
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24

FLAGS: Mapping[str, tuple[int, bool]] = {
    "ro": (MS_RDONLY, True),
    "rw": (MS_RDONLY, False),
    "nosuid": (MS_NOSUID, True),
    "suid": (MS_NOSUID, False),
    "nodev": (MS_NODEV, True),
    "dev": (MS_NODEV, False),
    "noexec": (MS_NOEXEC, True),
    "exec": (MS_NOEXEC, False),
    "sync": (MS_SYNCHRONOUS, True),
    "async": (MS_SYNCHRONOUS, False),
    "dirsync": (MS_DIRSYNC, True),
    "noatime": (MS_NOATIME, True),
    "atime": (MS_NOATIME, False),
    "nodiratime": (MS_NODIRATIME, True),
    "diratime": (MS_NODIRATIME, False),
    "relatime": (MS_RELATIME, True),
    "strictatime": (MS_STRICTATIME, True),
}
TMPFS_OPTIONS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks")


def split_flags(options: str | Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Return the flags of mount(2) among options, and what is left for the file system."""
    flags, rest = 0, []
    for word in options.split(",") if isinstance(options, str) else options:
        if word in FLAGS:
            bit, on = FLAGS[word]
            flags = flags | bit if on else flags & ~bit
        elif word:
            rest.append(word)
    return flags, tuple(rest)


def check_tmpfs(options: str) -> None:
    """Check the options of a tmpfs. Raises InvalidArgument naming the one it has not."""
    for word in split_flags(options)[1]:
        name, equals, value = word.partition("=")
        if name not in TMPFS_OPTIONS or not equals or not value:
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]')


# --- NFS ------------------------------------------------------------------------------------------

_NFS_WORDS = (
    "ac noac hard soft softerr softreval nosoftreval cto nocto sharecache nosharecache lock nolock "
    "acl noacl rdirplus nordirplus resvport noresvport intr nointr posix migration nomigration tcp "
    "udp"
).split()
_NFS_VALUES = {
    name: re.compile(form)
    for names, form in (
        (
            "acdirmax acdirmin acregmax acregmin actimeo bsize namlen retrans timeo rsize wsize",
            r"\d+",
        ),
        ("port mountport mountvers nconnect max_connect minorversion", r"\d+"),
        ("proto mountproto", r"tcp6?|udp6?"),
        ("lookupcache", r"all|none|pos|positive"),
        ("local_lock", r"all|flock|posix|none"),
        ("sec", r"sys|none"),
        ("vers nfsvers", r"3|4|4\.[012]"),
        ("mountaddr clientaddr", r"[0-9a-fA-F.:]+"),
    )
    for name in names.split()
}
_VERSION = re.compile(r"v(\d(\.\d)?)")


@dataclass(frozen=True, slots=True)
class NfsOptions:
    """Options of an NFS mount: flags of mount(2), the kernel's `data`, and addr=."""

    flags: int
    data: str
    address: str = ""


def parse_nfs(options: str) -> NfsOptions:
    """Return what the kernel is told. Raises InvalidArgument naming the option it cannot take.

    Without a version, or with 4, the newest the server knows of 4.2, 4.1 and 4.0 is for the guest
    to find.
    """
    flags, words = split_flags(options)
    data: list[str] = []
    version = address = ""
    for word in words:
        if found := _VERSION.fullmatch(word):
            word = f"vers={found[1]}"
        name, equals, value = word.partition("=")
        if name == "addr":
            address = value
            continue
        if not (word in _NFS_WORDS or (equals and _fits(name, value))):
            raise InvalidArgument(_refusal(name, value))
        if name in ("vers", "nfsvers"):
            version = value
        else:
            data.append(word)
    minor = any(word.startswith("minorversion=") for word in data)
    if version == "3" and "nolock" not in data:
        raise InvalidArgument(
            "NFS option vers=3: a pod has no rpc.statd, which locks of version 3 need: add nolock"
        )
    if minor or version not in ("", "4"):
        data.insert(0, f"vers={version or 4}")
    return NfsOptions(flags, ",".join(data), address)


def _fits(name: str, value: str) -> bool:
    return name in _NFS_VALUES and bool(_NFS_VALUES[name].fullmatch(value))


def _refusal(name: str, value: str) -> str:
    if name in ("sec", "xprtsec"):
        return f"NFS option {name}={value}: a pod has no Kerberos or TLS daemon: only sec=sys works"
    if name in ("vers", "nfsvers"):
        return f"NFS option {name}={value}: 3, 4, 4.0, 4.1 and 4.2 are possible"
    if name in _NFS_VALUES:
        return f"NFS option {name}={value}: not a value it can have"
    if name in ("bg", "fg", "retry", "_netdev", "defaults", "auto", "noauto", "nofail", "user"):
        return f"NFS option {name}: it is mount(8)'s, which a pod does not have: leave it out"
    return f"NFS option {name}: the kernel's NFS client has none of this name"


def split_export(source: str) -> tuple[str, str]:
    """Return host and path of HOST:/PATH (an IPv6 address in brackets). Raises InvalidArgument."""
    host, colon, path = source.partition("]:/" if source.startswith("[") else ":/")
    host = host.removeprefix("[")
    if not colon or not host or any(sign in source for sign in ", \t\n\0"):
        raise InvalidArgument(f"ADDRESS:/EXPORT is needed, not {source!r}")
    return host, f"/{path}"


def join_export(host: str, path: str) -> str:
    """Return HOST:/PATH as split_export takes it."""
    return f"[{host}]:{path}" if ":" in host else f"{host}:{path}"
