"""Completion: what is offered, and that the scripts of the shells carry it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, fake_daemon

from hyper.cli.completions import FILES, candidates
from hyper.cli.launcher import script as launcher_script
from hyper.cli.shells import SCRIPTS

SOURCE = str(Path(__file__).parents[2] / "src")
NAMES = {
    "container": ["web", "db"],
    "running": ["web"],
    "image": ["busybox:latest", "busybox:1.36"],
    "network": ["bridge", "mine"],
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ru", ["run"]),
        (
            "volume ",
            ["create", "inspect", "ls", "prune", "resize", "rm", "snapshot"],
        ),
        ("volume snapshot r", ["restore", "rm"]),
        ("volume create --driver q", ["qcow2"]),
        ("run --cpus", ["--cpus", "--cpuset-cpus", "--cpuset-mems"]),
        ("run --pull ", ["always", "missing", "never"]),
        ("run --pull=al", ["--pull=always"]),
        ("run -it --rm busybox:1", ["busybox:1.36"]),
        ("run busybox /bin/l", [FILES]),
        ("run -v ", [FILES]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("rm -f w", ["web"]),
        ("stop ", ["web"]),
        ("container logs d", ["db"]),
        ("run --network ", ["bridge", "mine"]),
        ("run --network=m", ["--network=mine"]),
        ("--log-level info ps --no", ["--no-trunc"]),
        ("-H ", [FILES]),
        ("--deb", ["--debug"]),
        ("load -i ", [FILES]),
        ("ps ", []),
        ("nosuch ", []),
        ("volume nosuch ", []),
    ],
)
def test_what_is_offered(line: str, words: list[str]) -> None:
    found = [word for word, _ in candidates(line.split(" "), lambda kind: NAMES.get(kind, []))]
    assert found == words


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        fake.on("GET", "/containers/json", [{"Names": ["/web"]}, {"Names": ["/db"]}])
        fake.on("GET", "/images/json", [{"RepoTags": ["busybox:latest", "busybox:1.36"]}])
        yield fake


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "hyper"
    path.write_text(launcher_script(sys.executable, SOURCE))
    path.chmod(0o755)
    return path


def shell(
    name: str, program: Path, daemon: FakeDaemon, text: str
) -> "subprocess.CompletedProcess[str]":
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    (program.parent / "file with space").touch()
    environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HYPER_HOST": daemon.url,
        "HOME": str(program.parent),
    }
    quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    return subprocess.run(
        [path, *quiet, "-c", SCRIPTS[name] + text],
        env=environment,
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hyper ru", ["run"]),
        ("hyper rm ", ["web", "db"]),
        ("hyper run --pull=al", ["always"]),
        ("hyper run busybox:1", ["1.36"]),
        ("hyper rmi busy", ["busybox:latest", "busybox:1.36"]),
        ("hyper load -i file", ["file with space"]),
    ],
)
def test_bash_completes(program: Path, daemon: FakeDaemon, line: str, words: list[str]) -> None:
    text = (
        f"COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; _hyper\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    result = shell("bash", program, daemon, text)
    assert (result.stdout.splitlines(), result.stderr) == (words, "")


def test_zsh_completes(program: Path, daemon: FakeDaemon) -> None:
    text = (
        "compdef() { :; }; _describe() { print -l -- $found; }; _files() { print files; }\n"
        "words=(hyper rmi busy); CURRENT=3; _hyper\n"
        "words=(hyper volume p); CURRENT=3; _hyper\n"
        "words=(hyper load -i ''); CURRENT=4; _hyper\n"
    )
    result = shell("zsh", program, daemon, "\n" + text)
    expected = ["busybox\\:latest", "busybox\\:1.36", "prune:Remove unused local volumes", "files"]
    assert result.stdout.splitlines() == expected


def test_fish_completes(program: Path, daemon: FakeDaemon) -> None:
    text = "complete -C 'hyper volume p'; complete -C 'hyper rm w'\n"
    result = shell("fish", program, daemon, text)
    assert result.stdout.splitlines() == ["prune\tRemove unused local volumes", "web"]


def test_names_are_not_worth_starting_a_daemon(program: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [str(program), "-H", f"unix://{tmp_path}/nobody", "__complete", "--", "rm", ""],
        capture_output=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, b"")
