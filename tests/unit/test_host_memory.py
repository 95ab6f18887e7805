"""What processes take of the host's memory."""

import mmap
import os
import subprocess
import sys

from hyper.host.memory import family, process_memory, process_name

_MIB = 2**20


def test_memory_counts_what_is_written_and_not_what_is_only_mapped() -> None:
    before = process_memory(os.getpid())
    with mmap.mmap(-1, 64 * _MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as room:
        mapped = process_memory(os.getpid())
        room[: 32 * _MIB] = b"x" * (32 * _MIB)
        written = process_memory(os.getpid())
    assert before and mapped and written
    assert mapped.anonymous_bytes - before.anonymous_bytes < 16 * _MIB
    assert written.anonymous_bytes - mapped.anonymous_bytes >= 16 * _MIB
    assert written.pss_bytes >= written.anonymous_bytes + written.file_bytes


def test_a_family_is_a_process_with_all_below_it_until_they_end() -> None:
    inner = "import subprocess; p = subprocess.Popen(['cat']); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout and parent.stdin
        child = int(parent.stdout.readline())
        assert family(parent.pid) == (parent.pid, child)
        parent.stdin.close()
    assert family(parent.pid) == ()
    assert process_memory(parent.pid) is None and process_name(parent.pid) == ""
