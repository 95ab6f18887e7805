"""Owns the command line of `python3 -m tools`: which steps each make target needs, in order.

Does not carry out any step: the modules beside it do.
"""

import sys

if sys.version_info < (3, 11):
    found = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        f"setup failed: python3 is {found}, Hyper needs 3.11 or newer.\n"
        "Debian 12 ships it; elsewhere install it and say: make PYTHON=python3.11 run"
    )

import argparse
import contextlib
import fcntl
from collections.abc import Callable, Iterator

from tools import environment, guest, images, packages
from tools.console import SetupError, failure, note
from tools.places import BUILD

Step = Callable[[], None]


def _packages(*groups: str) -> Step:
    return lambda: packages.ensure(*groups)


_BUILDS = (guest.ensure_kernel, guest.ensure_initrd, guest.ensure_vmfork)

TARGETS: dict[str, tuple[Step, ...]] = {
    "kernel": (_packages("kernel"), guest.ensure_kernel),
    "guest": (_packages("guest"), guest.ensure_initrd, guest.ensure_vmfork),
    "run": (
        _packages("python", "run", "kernel", "guest"),
        environment.ensure_run,
        *_BUILDS,
        images.ensure_busybox,
        images.first_run,
    ),
    "check": (
        _packages("python", "guest", "check"),
        environment.ensure_development,
        guest.ensure_initrd,
    ),
    "test": (
        _packages("python", "run", "kernel", "guest", "test"),
        environment.ensure_development,
        *_BUILDS,
    ),
    # Both of the above at once: each installation of packages has its cost.
    "ci": (
        _packages("python", "run", "kernel", "guest", "test", "check"),
        environment.ensure_development,
        *_BUILDS,
    ),
    "bench": (
        _packages("python", "run", "kernel", "guest", "test"),
        environment.ensure_development,
        *_BUILDS,
    ),
    "dev": (
        _packages("python", "run", "kernel", "guest"),
        environment.ensure_development,
        *_BUILDS,
    ),
}


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Wait until no other setup works in this checkout."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("another make is preparing this checkout, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Carry out what a make target needs and is not done yet; return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=sorted(TARGETS), help="the make target to prepare")
    target = parser.parse_args().target
    try:
        with _only_one():
            for step in TARGETS[target]:
                step()
    except SetupError as error:
        failure(error)
        return 1
    except KeyboardInterrupt:
        note("interrupted; the next run goes on where this one stopped")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
