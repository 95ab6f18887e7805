"""hyperd started on first use, and the program that starts without `site`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyper.cli import launcher
from hyper.sdk import address, autostart
from hyper.sdk.errors import DaemonUnavailable, StartFailed

SOURCE = str(Path(__file__).parents[2] / "src")
DAEMON = """#!{python}
import os, socket, sys, time
run = {run!r}
print("starting", os.getpid(), file=sys.stderr)
if os.path.exists(run + "/broken"):
    print("hyperd: no kernel: run make kernel", file=sys.stderr)
    sys.exit(1)
with open(run + "/started", "a") as log:
    log.write(" ".join(sys.argv[1:2]) + " " + " ".join(sorted(os.listdir("/proc/self/fd"))) + "\\n")
server = socket.socket(socket.AF_UNIX)
server.bind(run + "/hyper.sock")
server.listen()
ready = int(sys.argv[sys.argv.index("--ready-fd") + 1])
os.write(ready, b"1")
os.close(ready)
connection, _ = server.accept()
connection.recv(1)
server.settimeout(0.05)
while os.path.exists(run + "/wanted"):
    try:
        server.accept()
    except TimeoutError:
        pass
"""


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make `tmp_path` the runtime directory, with a daemon of ours as the installation's.

    Once somebody has connected to it, it ends with the test.
    """
    monkeypatch.delenv("HYPER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(address, "run_dir", lambda: str(tmp_path))
    monkeypatch.setattr(autostart, "run_dir", lambda: str(tmp_path))
    daemon = tmp_path / "hyperd"
    daemon.write_text(DAEMON.format(python=sys.executable, run=str(tmp_path)))
    daemon.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "hyper"), "ps"])
    (tmp_path / "wanted").touch()
    yield tmp_path
    (tmp_path / "wanted").unlink()


def test_a_missing_daemon_is_started_and_waited_for(run_dir: Path) -> None:
    channel = autostart.connect_or_start(address.resolve())
    channel.send(b"x")
    channel.close()
    started = (run_dir / "started").read_text().split()
    assert started[0] == "--ready-fd"


def test_the_daemon_inherits_nothing_but_its_log(run_dir: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    autostart.connect_or_start(address.resolve()).close()
    os.close(writer)
    assert os.read(reader, 1) == b""  # nobody else holds the other end
    os.close(reader)


def test_many_callers_start_one_daemon(run_dir: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {SOURCE!r})\n"
        "from hyper.sdk import address, autostart\n"
        f"address.run_dir = autostart.run_dir = lambda: {str(run_dir)!r}\n"
        f"sys.argv = [{str(run_dir / 'hyper')!r}]\n"
        "autostart.connect_or_start(address.resolve()).close()\n"
    )
    environment = {"PATH": os.environ["PATH"]}
    callers = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(5)]
    assert [caller.wait(60) for caller in callers] == [0] * 5
    assert len((run_dir / "started").read_text().splitlines()) == 1


def test_a_failure_is_one_line_with_the_daemons_last_word(run_dir: Path) -> None:
    (run_dir / "broken").touch()
    with pytest.raises(StartFailed) as caught:
        autostart.connect_or_start(address.resolve())
    assert str(caught.value) == (
        f"hyperd did not start: hyperd: no kernel: run make kernel (log: {run_dir}/hyperd.log)"
    )


def test_an_address_somebody_named_is_never_started(run_dir: Path) -> None:
    with pytest.raises(DaemonUnavailable):
        autostart.connect_or_start(address.resolve(f"unix://{run_dir}/other.sock"))
    assert not (run_dir / "started").exists()


def test_starting_can_be_forbidden(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPER_AUTOSTART", "0")
    with pytest.raises(DaemonUnavailable):
        autostart.connect_or_start(address.resolve())


def test_a_directory_of_somebody_else_is_refused(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(StartFailed, match="belongs to somebody else"):
        autostart.connect_or_start(address.resolve())


@pytest.mark.parametrize(
    ("given", "environment", "text"),
    [
        ("tcp://1.2.3.4:5", {"HYPER_HOST": "tcp://a:1"}, "tcp://1.2.3.4:5"),
        ("", {"HYPER_HOST": "tcp://a:1", "DOCKER_HOST": "tcp://b:2"}, "tcp://a:1"),
        ("", {"DOCKER_HOST": "unix:///b"}, "unix:///b"),
        ("/c.sock", {}, "unix:///c.sock"),
        ("tcp://[::1]:80", {}, "tcp://[::1]:80"),
    ],
)
def test_which_address_wins(
    monkeypatch: pytest.MonkeyPatch, given: str, environment: dict[str, str], text: str
) -> None:
    for name in ("HYPER_HOST", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert address.resolve(given).text == text


def test_the_default_address_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HYPER_HOST", "DOCKER_HOST", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert address.resolve().path == "/run/hyper/hyper.sock"
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert address.resolve().path == "/tmp/hyper-4242/hyper.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4242")
    assert address.resolve().path == "/run/user/4242/hyper/hyper.sock"
    assert address.resolve().ours


@pytest.mark.parametrize("deep", [False, True])
def test_the_program_starts_without_site(tmp_path: Path, deep: bool) -> None:
    python = Path(sys.executable)
    if deep:  # longer than the kernel reads of a script's first line
        folder = tmp_path / ("d" * 120) / ("e" * 120)
        folder.mkdir(parents=True)
        python = folder / "python"
        python.symlink_to(os.path.realpath(sys.executable))
    program = tmp_path / "hyper"
    program.write_text(launcher.script(str(python), SOURCE))
    program.chmod(0o755)
    result = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60)
    assert result.stdout.startswith("Hyper version ")
    assert result.stderr == ""


def test_the_launcher_replaces_the_program(tmp_path: Path) -> None:
    (tmp_path / "hyper").write_text("old")
    path = Path(launcher.install(str(tmp_path)))
    assert path == tmp_path / "hyper"
    assert os.access(path, os.X_OK)
    assert sorted(os.listdir(tmp_path)) == ["hyper"]
