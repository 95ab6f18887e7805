"""The completion scripts, in the shells that are there."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, fake_daemon

from hyper.cli.completions import script
from hyper.cli.launcher import script as launcher_script

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        fake.on("GET", "/containers/json", [{"Names": ["/web"]}, {"Names": ["/db"]}])
        fake.on("GET", "/images/json", [{"RepoTags": ["busybox:latest", "busybox:1.36"]}])
        fake.on("GET", "/networks", [{"Name": "bridge"}, {"Name": "mine"}])
        yield fake


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "hyper"
    path.write_text(launcher_script(sys.executable, SOURCE))
    path.chmod(0o755)
    return path


def complete(program: Path, daemon: FakeDaemon, line: str) -> list[str]:
    """Return what bash offers at the end of `line`."""
    text = (
        script("bash")
        + f"COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}\n"
        + 'read -ra COMP_WORDS <<< "$COMP_LINE"; COMPREPLY=()\n'
        + '_hyper; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    result = subprocess.run(
        ["bash", "--norc", "-c", text],
        env={"PATH": f"{program.parent}:/usr/bin:/bin", "HYPER_HOST": daemon.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hyper ru", ["run"]),
        ("hyper volume ", ["create", "inspect", "ls", "prune", "rm"]),
        ("hyper run --cpus", ["--cpus", "--cpuset-cpus", "--cpuset-mems"]),
        ("hyper run --pull ", ["always", "missing", "never"]),
        ("hyper run --pull=al", ["always"]),
        ("hyper completion ", ["bash", "zsh", "fish"]),
        ("hyper rm ", ["web", "db"]),
        ("hyper rm -f w", ["web"]),
        ("hyper container logs d", ["db"]),
        ("hyper exec -it w", ["web"]),
        ("hyper run --network ", ["bridge", "mine"]),
        ("hyper run --network=m", ["mine"]),
        ("hyper --log-level info ps --no", ["--no-trunc"]),
    ],
)
def test_bash_completes(program: Path, daemon: FakeDaemon, line: str, words: list[str]) -> None:
    assert [word for word in complete(program, daemon, line) if word in words] == words
    if not line.endswith("--cpus"):
        assert complete(program, daemon, line) == words


def test_bash_completes_an_image_after_its_colon(program: Path, daemon: FakeDaemon) -> None:
    assert complete(program, daemon, "hyper run busybox:1") == ["1.36"]
    assert complete(program, daemon, "hyper rmi busy") == ["busybox:latest", "busybox:1.36"]


def test_names_are_not_worth_starting_a_daemon(program: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [str(program), "-H", f"unix://{tmp_path}/nobody", "__complete", "container"],
        capture_output=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_valid(shell: str, tmp_path: Path) -> None:
    text = script(shell)
    assert "--entrypoint" in text or "-l entrypoint" in text
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(text)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=60)
