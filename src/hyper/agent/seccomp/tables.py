"""System call numbers by architecture, from syscalls.json beside this file.

That file is written by `python -m hyper.agent.seccomp.tables` from the kernel's headers (Debian:
linux-libc-dev) and the numbers of later system calls below.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from hyper.host.process import run

# Added after Linux 6.1. Since 5.1 a new system call has the same number on every architecture
# (linux: Documentation/process/adding-syscalls.rst), except where noted.
LATER = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
}
LATER_X86_64 = {"uretprobe": 335}

_HEADERS = {
    "x86_64": ("asm/unistd_64.h", ()),
    "x86": ("asm/unistd_32.h", ()),
    # asm/unistd.h of arm64 is this with these macros
    "aarch64": (
        "asm-generic/unistd.h",
        (
            "__ARCH_WANT_RENAMEAT",
            "__ARCH_WANT_NEW_STAT",
            "__ARCH_WANT_SET_GET_RLIMIT",
            "__ARCH_WANT_TIME32_SYSCALLS",
            "__ARCH_WANT_SYS_CLONE3",
            "__ARCH_WANT_MEMFD_SECRET",
        ),
    ),
}


@cache
def syscall_numbers(architecture: str) -> Mapping[str, int]:
    """Return {name: number} of x86_64, x86 or aarch64; raises KeyError."""
    return _tables()[architecture]


@cache
def _tables() -> dict[str, dict[str, int]]:
    text = resources.files(__package__).joinpath("syscalls.json").read_text()
    tables: dict[str, dict[str, int]] = json.loads(text)
    return tables


async def _read_headers(architecture: str) -> dict[str, int]:
    header, macros = _HEADERS[architecture]
    source = f"#include <{header}>\n".encode()
    options = ["-dM", "-D__BITS_PER_LONG=64", *(f"-D{macro}" for macro in macros)]
    text = (await run(["cpp", *options, "-"], input=source)).decode()
    # asm-generic names the calls that differ by word size in two steps.
    aliases = dict(re.findall(r"#define __NR3264_(\w+) (\d+)", text))
    numbers = {name: int(value) for name, value in re.findall(r"#define __NR_(\w+) (\d+)", text)}
    for name, alias in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text):
        numbers[name] = int(aliases[alias])
    for name in ("syscalls", "arch_specific_syscall"):
        numbers.pop(name, None)
    later = LATER | (LATER_X86_64 if architecture == "x86_64" else {})
    return dict(sorted((numbers | later).items(), key=lambda item: item[1]))


async def _main() -> None:
    tables = {architecture: await _read_headers(architecture) for architecture in _HEADERS}
    Path(__file__).with_name("syscalls.json").write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(_main())
