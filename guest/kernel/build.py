#!/usr/bin/env python3
"""Builds the guest kernel from Debian's kernel source and keeps it in a cache outside the checkout.

Chooses no options (fragments/ does) and downloads nothing.
Kernel configuration: linux Documentation/kbuild/kconfig, scripts/kconfig/merge_config.sh.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from options import (
    BuildError,
    Inputs,
    find_losses,
    parse_allow_list,
    parse_config,
    read_texts,
    requested_options,
)
from progress import Progress

HERE = Path(__file__).resolve().parent
SOURCE_PACKAGE = "linux-source-6.1"
SOURCE_TARBALL = Path(f"/usr/src/{SOURCE_PACKAGE}.tar.xz")
# Raise it when this file changes what it builds from the same inputs.
RECIPE_VERSION = 1
# Lines a complete build prints; only the progress display depends on it.
EXPECTED_STEPS = 2790
LOG_TAIL_LINES = 25
ARCH = "x86_64"
TOOLS = ("make", "gcc", "ld", "flex", "bison", "bc", "tar", "xz", "patch", "strip")


def tool_output(argv: Sequence[str]) -> str | None:
    """Return what a short command printed, or None when it is absent or failed."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def identify_source(tarball: Path) -> str:
    """Return a name for the kernel source: the package version, or a digest of another tarball.

    Raises BuildError when the tarball is missing.
    """
    if not tarball.is_file():
        raise BuildError(
            "kernel source not found",
            f"{tarball} does not exist",
            f"Install it (apt install {SOURCE_PACKAGE}) or name another one with --source.",
        )
    if tarball == SOURCE_TARBALL:
        query = ("dpkg-query", "--show", "--showformat=${Version}", SOURCE_PACKAGE)
        if version := tool_output(query):
            return f"{SOURCE_PACKAGE} {version}"
    with tarball.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def collect_inputs(tarball: Path, folder: Path = HERE) -> Inputs:
    """Read everything the kernel depends on.

    Raises BuildError when a part is missing or this machine cannot build for the guest.
    """
    if platform.machine() != ARCH:
        raise BuildError(
            "cannot build the guest kernel here",
            f"this machine is {platform.machine()}, the recipe knows {ARCH} only",
            "Build on an x86_64 machine and copy the cache folder.",
        )
    compiler = tool_output(("gcc", "--version"))
    if compiler is None:
        raise missing_tools(["gcc"])
    return Inputs(
        fragments=read_texts(folder / "fragments", "*.config"),
        patches=read_texts(folder / "patches", "*.patch"),
        allow_list=(folder / "missing-ok.txt").read_text(),
        source=identify_source(tarball),
        compiler=compiler.splitlines()[0],
        arch=ARCH,
        recipe=RECIPE_VERSION,
    )


def missing_tools(names: Sequence[str]) -> BuildError:
    """Return the error for absent build tools."""
    return BuildError(
        "cannot build the guest kernel",
        f"not installed: {', '.join(names)}",
        "Install them: apt install build-essential flex bison bc xz-utils libelf-dev libssl-dev",
    )


def default_cache() -> Path:
    """Return the folder that holds what Hyper can rebuild at any time."""
    if chosen := os.environ.get("HYPER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyper"


@dataclass(frozen=True, slots=True)
class Workshop:
    """One build under way: its folders, log, and the lock its children inherit."""

    scratch: Path
    tree: Path
    log: Path
    lock_fd: int
    jobs: int

    @property
    def source(self) -> Path:
        return self.tree / "source"

    @property
    def output(self) -> Path:
        return self.tree / "output"

    def run(self, argv: Sequence[str], what: str, progress: Progress | None = None) -> None:
        """Run one command of the build with a fixed environment and everything it says in the log.

        Raises BuildError with the tail of the log.
        """
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(argv)}\n")
            log.flush()
            # Children inherit the lock: should this process be killed, no other build starts
            # before its make has stopped.
            with subprocess.Popen(
                argv,
                cwd=self.scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=(self.lock_fd,),
                start_new_session=True,
            ) as child:
                try:
                    assert child.stdout is not None
                    for line in child.stdout:
                        log.write(line)
                        if progress:
                            progress.line(line)
                except BaseException:
                    os.killpg(child.pid, signal.SIGKILL)
                    raise
        if child.returncode != 0:
            raise self.failure(what, f"{argv[0]} exited with status {child.returncode}")

    def failure(self, what: str, why: str) -> BuildError:
        """Return the error for a failed step, with the end of the log."""
        tail = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        kept = self.scratch.parent / f"{self.scratch.name.partition('.')[0]}.failed.log"
        shutil.copyfile(self.log, kept)
        return BuildError(what, why, "\n".join([f"The whole log is in {kept}; its end:", *tail]))


def prepare(work: Workshop, tarball: Path, inputs: Inputs) -> None:
    """Unpack and patch the kernel source, unless a kept tree has just that already."""
    marker = work.tree / "prepared.json"
    content = json.dumps([inputs.source, dict(inputs.patches)])
    if marker.is_file() and marker.read_text() == content:
        return
    for folder in (work.source, work.output):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    argv = ("tar", "-xf", str(tarball), "-C", str(work.source), "--strip-components=1")
    work.run(argv, f"cannot unpack {tarball}")
    for name, text in inputs.patches.items():
        path = work.scratch / name
        path.write_text(text)
        patch = ("patch", "-p1", "--batch", "-d", str(work.source), "-i", str(path))
        work.run(patch, f"cannot apply {name}")
    marker.write_text(content)


def configure(work: Workshop, inputs: Inputs) -> None:
    """Make .config from tinyconfig and the fragments.

    Raises BuildError listing every option that did not survive.
    """
    wanted = requested_options(inputs.fragments)
    make = ("make", "-C", str(work.source), f"O={work.output}")
    work.run((*make, "tinyconfig"), "cannot make the base configuration")
    paths = []
    for name, text in inputs.fragments.items():
        paths.append(work.scratch / name)
        paths[-1].write_text(text)
    work.run(
        # -n: what no fragment names stays off.
        ("sh", "-c", 'cd "$1" && shift && exec scripts/kconfig/merge_config.sh -n -O "$@"',
         "merge", str(work.source), str(work.output), str(work.output / ".config"),
         *map(str, paths)),
        "cannot merge the fragments",
    )  # fmt: skip
    final = parse_config((work.output / ".config").read_text())
    losses = find_losses(wanted, final, parse_allow_list(inputs.allow_list))
    if losses:
        listing = "\n".join(f"  {x.option}: want {x.requested}, got {x.final}" for x in losses)
        raise BuildError(
            "the kernel configuration lost options",
            f"{len(losses)} did not survive the merge\n{listing}",
            "A dependency is missing or the name is wrong: correct the fragment, "
            "or add the option to missing-ok.txt with the reason.",
        )


def compile_kernel(work: Workshop, stream: TextIO) -> int:
    """Build vmlinux and return the number of steps it took."""
    # Fixed stamps: the same inputs give the same bytes, and no host name leaks into `uname -v`.
    stamp = time.strftime("%Y-%m-%d", time.gmtime((work.source / "Makefile").stat().st_mtime))
    progress = Progress(stream, EXPECTED_STEPS)
    argv = (
        "make", "-C", str(work.source), f"O={work.output}", f"-j{work.jobs}",
        "KBUILD_BUILD_USER=hyper", "KBUILD_BUILD_HOST=guest", f"KBUILD_BUILD_TIMESTAMP={stamp}",
        "vmlinux",
    )  # fmt: skip
    try:
        work.run(argv, "the kernel does not compile", progress)
    finally:
        progress.end()
    return progress.steps


def collect(work: Workshop, inputs: Inputs, facts: Mapping[str, object]) -> Path:
    """Put the finished files, on stable storage, into a folder ready to be renamed."""
    result = work.scratch / "result"
    result.mkdir()
    vmlinux = result / "vmlinux"
    strip = ("strip", "--strip-all", "-o", str(vmlinux), str(work.output / "vmlinux"))
    work.run(strip, "cannot strip the kernel")
    shutil.copyfile(work.output / ".config", result / "config")
    release = (work.output / "include/config/kernel.release").read_text().strip()
    report = {
        "release": release,
        "sha256": hashlib.sha256(vmlinux.read_bytes()).hexdigest(),
        "vmlinux_bytes": vmlinux.stat().st_size,
        "source": inputs.source,
        "compiler": inputs.compiler,
        "arch": inputs.arch,
        "recipe": inputs.recipe,
        **facts,
    }
    (result / "build.json").write_text(json.dumps(report, indent=2) + "\n")
    for path in (*result.iterdir(), result):
        sync(path)
    return result


def sync(path: Path) -> None:
    """Force a file or folder to stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, stream: TextIO) -> Iterator[int]:
    """Hold the lock of one kernel; wait, and say so, while another build has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.write("kernel: another build of the same kernel is running, waiting for it\n")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def build(
    inputs: Inputs, tarball: Path, cache: Path, tree: Path | None, jobs: int, stream: TextIO
) -> Path:
    """Return the folder of the built kernel, building it when the cache does not have it.

    Raises BuildError.
    """
    name = inputs.fingerprint()
    target = cache / "kernel" / name
    if (target / "vmlinux").is_file():
        return target
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise missing_tools(absent)
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / f"{name}.lock", stream) as lock_fd:
        if (target / "vmlinux").is_file():
            return target
        # Whoever left these is dead: its lock is ours now.
        for stale in (target, *target.parent.glob(f"{name}.build-*")):
            shutil.rmtree(stale, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}.build-", dir=target.parent))
        try:
            work = Workshop(scratch, tree or scratch, scratch / "build.log", lock_fd, jobs)
            stream.write(f"kernel: building {inputs.source} (once; some minutes)\n")
            started = time.monotonic()
            prepare(work, tarball, inputs)
            configure(work, inputs)
            steps = compile_kernel(work, stream)
            facts = {"steps": steps, "build_s": round(time.monotonic() - started)}
            result = collect(work, inputs, facts)
            scratch.chmod(0o755)
            result.rename(target)
            sync(target.parent)
            stream.write(f"kernel: built in {facts['build_s']} s\n")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Build Hyper's guest kernel once and print the path of its vmlinux."
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    parser.add_argument(
        "--print-path",
        action="store_true",
        help="only print where the kernel is; exit 1 if it is not built",
    )
    parser.add_argument("--source", type=Path, default=SOURCE_TARBALL, metavar="TARBALL")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR")
    parser.add_argument(
        "--tree",
        type=Path,
        metavar="DIR",
        help="keep source and objects there: the next build compiles only what changed",
    )
    return parser.parse_args(argv)


def stop(signal_number: int, _frame: object) -> None:
    """Turn a request to stop into an exception, so that the scratch folder is removed."""
    raise SystemExit(128 + signal_number)


def main(argv: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    options = parse_arguments(argv)
    signal.signal(signal.SIGTERM, stop)
    try:
        inputs = collect_inputs(options.source)
        if options.print_path:
            path = options.cache / "kernel" / inputs.fingerprint() / "vmlinux"
            print(path)
            return 0 if path.is_file() else 1
        folder = build(
            inputs, options.source, options.cache, options.tree, options.jobs, sys.stderr
        )
        print(folder / "vmlinux")
        return 0
    except BuildError as error:
        print(f"kernel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
