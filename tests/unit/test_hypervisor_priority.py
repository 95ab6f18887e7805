"""Low priority of VMMs that wait, and normal priority of those that are taken."""

import os
import subprocess

import pytest

from hyper.hypervisor import priority


@pytest.mark.skipif(not priority.may_raise(), reason="this user may not raise a priority")
def test_a_lowered_process_gets_back_to_normal() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, priority.LOW)
            priority.raise_to_normal(process.pid)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 0
        finally:
            process.kill()


def test_a_process_that_has_ended_is_no_error() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    priority.raise_to_normal(process.pid)
