"""When and by how much a guest's clock is put right, with clocks that stand where the test says."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from hyper.agent import messages as m
from hyper.engine.clocks import correct
from tests.support.fake_guest import FakeGuest, connected

MS = 1_000_000
NOW = 1_700_000_000_000 * MS


async def corrected(folder: Path, *questions: tuple[int, int]) -> tuple[int, list[int]]:
    """Give what a guest's clock is moved by, as returned and as told to it.

    Each question: how far the clock is ahead in the middle of it, and how long it takes.
    """
    told: list[int] = []

    async def behave(guest: FakeGuest) -> None:
        await guest.welcome(features=m.FEATURE_CLOCK)
        for ahead_ns, took_ns in questions:
            frame, asked = await guest.expect(m.ClockAdjust)
            assert asked == m.ClockAdjust(0)
            await guest.reply(frame, m.Clock(NOW + took_ns // 2 + ahead_ns))
        frame, moved = await guest.expect(m.ClockAdjust)
        assert isinstance(moved, m.ClockAdjust)
        told.append(moved.delta_ns)
        await guest.reply(frame, m.Clock(0))

    counters: Iterator[int] = itertools.chain.from_iterable((0, took) for _, took in questions)
    async with connected(folder / "agent.sock", behave) as agent:
        moved_ns = await correct(agent, lambda: NOW, lambda: next(counters))
    assert next(counters, None) is None, "fewer questions than that were asked"
    return moved_ns, told


async def test_a_clock_that_is_right_is_left_alone(tmp_path: Path) -> None:
    assert await corrected(tmp_path, (4 * MS, 1 * MS)) == (0, [])


async def test_a_clock_that_is_wrong_is_told_the_difference(tmp_path: Path) -> None:
    assert await corrected(tmp_path, (-3000 * MS, 8 * MS)) == (3000 * MS, [3000 * MS])


async def test_a_question_that_took_long_is_asked_again_and_the_quickest_counts(
    tmp_path: Path,
) -> None:
    asked = ((900 * MS, 2000 * MS), (50 * MS, 20 * MS), (400 * MS, 1000 * MS))
    assert await corrected(tmp_path, *asked) == (-50 * MS, [-50 * MS])


async def test_what_a_busy_host_cannot_see_it_does_not_correct(tmp_path: Path) -> None:
    asked = ((40 * MS, 100 * MS), (40 * MS, 200 * MS), (40 * MS, 100 * MS))
    assert await corrected(tmp_path, *asked) == (0, [])


async def test_what_a_guest_claims_fits_the_message(tmp_path: Path) -> None:
    claimed = 2**64 - 1 - NOW
    moved, told = await corrected(tmp_path, (claimed, 0))
    assert moved == -(2**63 - 1) and told == [moved]
