"""Owns kernels a user may name per pod: the default one, those added by name, and plain paths."""

import hashlib
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hyper.core.errors import Conflict, Failure, InvalidArgument, NotFound, Unavailable
from hyper.host.files import private_directory
from hyper.host.threads import in_thread

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
_ELF = b"\x7fELF"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be named; `version` is what its banner says."""

    name: str
    path: Path
    size_bytes: int
    version: str


class Kernels:
    """The kernels of one daemon."""

    def __init__(self, folder: Path, default: Path) -> None:
        self._folder = folder
        self._default = default

    def path(self, name: str) -> Path:
        """Return the file of a kernel given by name or absolute path; "" is the default.

        Raises NotFound, InvalidArgument when it is not an uncompressed ELF kernel, Unavailable when
        the default one was not built.
        """
        if name in ("", DEFAULT):
            if not self._default.is_file():
                raise Unavailable(
                    f"no guest kernel at {self._default}: build it with `make kernel` or set "
                    '"kernel" in the configuration'
                )
            return self._default
        path = Path(name) if name.startswith("/") else self._folder / name
        if not name.startswith("/") and not _NAME.fullmatch(name):
            raise InvalidArgument(f"invalid kernel name: {name}")
        if not path.is_file():
            raise NotFound("kernel", name)
        _check_elf(path)
        return path

    def list(self) -> list[Kernel]:
        """Return the default kernel, if built, and every added one."""
        found = [(DEFAULT, self._default)] if self._default.is_file() else []
        if self._folder.is_dir():
            added = (path for path in sorted(self._folder.iterdir()) if path.name[0] != ".")
            found += [(path.name, path) for path in added]
        return [
            Kernel(name, path, path.stat().st_size, kernel_version(path)) for name, path in found
        ]

    async def add(self, name: str, source: Path) -> Kernel:
        """Copy an uncompressed kernel (vmlinux) under a name.

        Raises Conflict, InvalidArgument, NotFound, or Failure when it cannot be copied.
        """
        if not _NAME.fullmatch(name) or name == DEFAULT:
            raise InvalidArgument(f"invalid kernel name: {name}")
        return await in_thread("kernel", _copy, name, source, private_directory(self._folder))

    def remove(self, name: str, used_by: Collection[str]) -> None:
        """Delete an added kernel. Raises NotFound, or Conflict naming the pods in `used_by`."""
        path = self._folder / name
        if name == DEFAULT or not _NAME.fullmatch(name) or not path.is_file():
            raise NotFound("kernel", name)
        if used_by:
            raise Conflict(
                f"kernel {name} is used by {', '.join(sorted(used_by))}: remove these first, they "
                "could not be started without it"
            )
        path.unlink()


def _copy(name: str, source: Path, folder: Path) -> Kernel:
    if not source.is_file():
        raise NotFound("kernel", str(source))
    _check_elf(source)
    target, temporary = folder / name, folder / f".{name}.new"
    if target.exists():
        raise Conflict(f"a kernel named {name} exists: remove it first (hyper kernel rm {name})")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    except OSError as err:
        raise Failure(f"cannot copy the kernel {source}: {err}") from err
    finally:
        temporary.unlink(missing_ok=True)
    return Kernel(name, target, target.stat().st_size, kernel_version(target))


def _check_elf(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(4) != _ELF:
            raise InvalidArgument(
                f"{path} is not an uncompressed kernel: give the vmlinux ELF file, not a bzImage"
            )


def kernel_version(path: Path) -> str:
    """Return the version in a kernel's banner ("Linux version ..."), or a short hash of the
    file.
    """
    info = path.stat()
    return _version(path, info.st_mtime_ns, info.st_size)


@lru_cache(maxsize=32)
def _version(path: Path, _mtime_ns: int, _size: int) -> str:
    # Kernels are 20 MB, and `hyper info` asks each time.
    content = path.read_bytes()
    match = re.search(rb"Linux version (\S+) ", content)
    return match[1].decode(errors="replace") if match else hashlib.sha256(content).hexdigest()[:12]
