"""Owns what a person sees while the kernel builds.

Runs nothing; it counts the lines that make prints.
"""

from __future__ import annotations

import re
import time
from typing import TextIO

PLAIN_INTERVAL_S = 10.0
BAR_INTERVAL_S = 0.2
STEP_LINE = re.compile(r"  [A-Z][A-Z0-9_]*\s+\S")


class Progress:
    """Shows how far make is: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, stream: TextIO, expected: int) -> None:
        self.stream = stream
        self.expected = expected
        self.steps = 0
        self.started = time.monotonic()
        self.shown = self.started

    def line(self, text: str) -> None:
        """Count one line of make's output and refresh the display when it is due."""
        if not STEP_LINE.match(text):
            return
        self.steps += 1
        interval_s = BAR_INTERVAL_S if self.stream.isatty() else PLAIN_INTERVAL_S
        if time.monotonic() - self.shown >= interval_s:
            self.show()

    def show(self) -> None:
        """Print the present state."""
        self.shown = time.monotonic()
        # The estimate can be short; only the end of make is 100 %.
        share = min(self.steps / self.expected, 0.99)
        seconds = self.shown - self.started
        if self.stream.isatty():
            bar = ("#" * int(share * 30)).ljust(30, ".")
            self.stream.write(f"\r  kernel [{bar}] {share:4.0%}  {seconds:4.0f} s")
        else:
            self.stream.write(f"kernel: {share:.0%}, {self.steps} steps, {seconds:.0f} s\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the display on a line of its own."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()
