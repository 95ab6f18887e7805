"""What waiting clones rehearse with: the program is a real one, and says what is expected."""

import subprocess
from pathlib import Path

from hyper.engine import rehearsal


def test_the_program_runs_and_answers(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(rehearsal._elf())
    program.chmod(0o755)
    done = subprocess.run([str(program)], capture_output=True, timeout=60, env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ready\n", b"")
