"""The console keeps the end of what was printed, however much it was, and fills no disk."""

import asyncio
import os
from pathlib import Path

import pytest

from hyper.hypervisor.console import TAIL_BYTES, Console, make_pipe


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    return tmp_path / "console"


async def test_the_tail_is_the_end(pipe: Path) -> None:
    writer = make_pipe(pipe)
    console = Console(pipe)
    written = 0
    for number in range(4 * TAIL_BYTES // 100):
        line = f"{number:099}\n".encode()
        while True:
            try:
                written += os.write(writer, line)
                break
            except BlockingIOError:
                await asyncio.sleep(0.01)
    tail = console.tail()
    console.close()
    os.close(writer)
    assert written > 3 * TAIL_BYTES and len(tail) <= TAIL_BYTES
    assert tail.endswith(f"{number:099}\n")
    assert pipe.stat().st_size == 0


async def test_a_writer_without_reader_does_not_fail(pipe: Path) -> None:
    writer = make_pipe(pipe)
    os.write(writer, b"early\n")
    console = Console(pipe)
    assert console.tail() == "early\n"
    console.close()
    os.write(writer, b"alone\n")  # no EPIPE: it reads its own pipe
    later = Console(pipe)
    assert later.tail() == "alone\n"
    later.close()
    os.close(writer)


async def test_what_was_read_stays_after_closing(pipe: Path) -> None:
    writer = make_pipe(pipe)
    console = Console(pipe)
    os.write(writer, b"panic\xff\0\n")
    assert console.tail() == "panic\ufffd\n"
    console.close()
    console.close()
    os.close(writer)
    assert console.tail() == "panic\ufffd\n"
