"""The ladder of fixtures: run_dir -> guest_artifacts -> daemon -> busybox_image -> hyper.

Each step gives what the one before does not; a test asks for the highest it needs. On failure the
logs of every daemon of the test are kept in build/test-logs/<test>.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.support import leaks
from tests.support.daemon import Daemon, Result
from tests.support.sharing_out import Groups, longest_first
from tools.guest import initrd_is_current
from tools.places import BUILD, INITRD, KERNEL, VENV

TEST_LOGS = BUILD / "test-logs"
TEST_LIMIT_S = 240
# How long an example takes on a busy machine says nothing of it.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_configure() -> None:
    """Undo what a shell's background job inherits: with SIGINT ignored, children ignore it too."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"the test did not end within {TEST_LIMIT_S} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> "Iterator[None]":
    """Fail a test that hangs, so that a run ends and its logs are kept."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(0 if item.get_closest_marker("soak") else TEST_LIMIT_S)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> "Iterator[None] | pytest.TestReport":
    """Keep the reports of a test's phases, so that fixtures know whether it failed."""
    report: pytest.TestReport = yield  # type: ignore[misc,assignment]
    item.stash.setdefault(_REPORTS, {})[report.when or ""] = report
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Share the tests out among several processes (pytest -n) by what they have in common."""
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what lies in tests/vm and tests/faults; skip what needs root for an ordinary user."""
    for item in items:
        if {"vm", "faults"} & set(item.path.relative_to(item.config.rootpath).parts[:-1]):
            item.add_marker(pytest.mark.vm)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


def _failed(request: pytest.FixtureRequest) -> bool:
    reports = request.node.stash.get(_REPORTS, {})
    return any(report.failed for report in reports.values())


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Return a private folder whose path is short enough for sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="hyper-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def guest_artifacts() -> tuple[Path, Path]:
    """Return the guest kernel and initrd of this checkout; without them, skip, or fail in CI."""
    for path in (KERNEL, INITRD, VENV / "bin" / "hyperd"):
        if not path.exists():
            text = f"{path} is missing; `make test` builds it"
            pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    if not initrd_is_current():
        text = "build/guest/initrd is older than guest/hyperstart: run make guest"
        pytest.fail(text) if "PYTEST_XDIST_WORKER" in os.environ else pytest.exit(text, 1)
    return KERNEL.resolve(), INITRD.resolve()


@pytest.fixture(scope="module")
def module_daemon(guest_artifacts: tuple[Path, Path]) -> Iterator[Daemon]:
    """Return a running daemon shared by the tests of a module; its own tests use `daemon`."""
    mounts = leaks.mounts()
    daemon = Daemon()
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        assert not daemon.vmms(), "VMMs are left"
        assert leaks.settle(lambda: leaks.processes_naming(str(daemon.run_dir))), "helpers are left"
        # Those of other programs come and go.
        assert leaks.settle(lambda: leaks.mounts() - mounts), "the host has new mounts"
    finally:
        daemon.destroy()


@pytest.fixture(scope="module")
def module_image(module_daemon: Daemon, busybox_archive: Path) -> Daemon:
    """Return the module's daemon with the image busybox in it."""
    module_daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
    # One run before anything is compared: connections and caches that stay are open by then.
    module_daemon.hyper("run", "--rm", "busybox", "true")
    return module_daemon


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a `docker save` archive of an image named busybox, made from the distribution's."""
    from tests.support.userland import save_busybox

    return save_busybox(tmp_path_factory.mktemp("busybox") / "busybox.tar")


@pytest.fixture
def daemon(module_image: Daemon, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Return a daemon with busybox and no container; afterwards nothing of the test may be left."""
    before = module_image.snapshot()
    log_start = module_image.log.stat().st_size
    yield module_image
    if _failed(request):
        _keep(module_image, request, log_start)
        module_image.remove_containers()
        return
    module_image.remove_containers()

    def left() -> list[str]:
        vmms = [f"VMM: process {pid}" for pid in module_image.vmms()]
        return before.leaks(module_image.snapshot()) + vmms

    # Whose container is gone need not wait for its VM to end, not even that of the run above.
    assert leaks.settle(left), "left behind:\n  " + "\n  ".join(left())


@pytest.fixture
def hyper(daemon: Daemon) -> Callable[..., Result]:
    """Return a callable that runs a hyper command against the daemon."""
    return daemon.hyper


@pytest.fixture
def start_daemon(
    guest_artifacts: tuple[Path, Path], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Daemon]]:
    """Return a callable that starts a daemon of the test's own, with its own configuration."""
    daemons: list[Daemon] = []

    def start(
        config: dict[str, object] | None = None, environment: dict[str, str] | None = None
    ) -> Daemon:
        daemon = Daemon(config or {}, environment or {})
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        if _failed(request):
            _keep(daemon, request, 0)
        daemon.destroy()


def _keep(daemon: Daemon, request: pytest.FixtureRequest, log_start: int) -> None:
    target = TEST_LOGS / request.node.name.replace("/", "_")[:100]
    daemon.keep_logs(target)
    text = daemon.log.read_bytes()[log_start:].decode(errors="replace")
    print(f"\n--- hyperd, from the test's start (all logs: {target}) ---\n{text[-6000:]}")
