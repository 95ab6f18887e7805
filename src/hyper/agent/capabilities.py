"""Linux capabilities: names, bits, Docker's default set and the rules of --cap-add, --cap-drop."""

from collections.abc import Iterable

from hyper.core.errors import InvalidArgument

# linux/capability.h; the position is the bit
NAMES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
        "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
        "CHECKPOINT_RESTORE"
    ).split()
)
_BITS = {name: 1 << bit for bit, name in enumerate(NAMES)}
ALL = (1 << len(NAMES)) - 1


def mask(names: Iterable[str]) -> int:
    """Return the bits of capabilities named CAP_...; raises KeyError for an unknown name."""
    bits = 0
    for name in names:
        bits |= _BITS[name]
    return bits


# What Docker gives a container (moby oci/caps/defaults.go).
DEFAULT = mask(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
        "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
)


def names(bits: int) -> tuple[str, ...]:
    """Return the names of the capabilities in `bits`, in the kernel's order."""
    return tuple(name for name, bit in _BITS.items() if bits & bit)


def resolve(add: Iterable[str], drop: Iterable[str], privileged: bool) -> int:
    """Return the bits of a container's capabilities, by Docker's rules.

    Names as users write them: any case, with or without CAP_, or ALL. Raises InvalidArgument.
    """
    add_all, added = _parse("CapAdd", add)
    drop_all, dropped = _parse("CapDrop", drop)
    if privileged:
        return ALL
    if add_all:
        return ALL & ~dropped
    if drop_all:
        return added
    return (DEFAULT & ~dropped) | added


def _parse(option: str, given: Iterable[str]) -> tuple[bool, int]:
    every, bits = False, 0
    for text in given:
        name = text.upper()
        if name == "ALL":
            every = True
            continue
        name = name if name.startswith("CAP_") else f"CAP_{name}"
        if name not in _BITS:
            raise InvalidArgument(f'invalid {option}: unknown capability: "{name}"')
        bits |= _BITS[name]
    return every, bits
