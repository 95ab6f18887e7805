"""Times of the calendar, whole or in part, as --since, --until and the filter until take them."""

import pytest

from hyper.core.calendar import calendar_ns
from hyper.core.errors import InvalidArgument

NS = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02T00:00:00Z", 86400 * NS),
        ("1970-01-02T01:00:00.5+01:00", 86400 * NS + NS // 2),
        ("1970-01-02T01:00+01:00", 86400 * NS),
        ("1970-01-02Z", 86400 * NS),
    ],
)
def test_times_with_a_zone(text: str, expected: int) -> None:
    assert calendar_ns(text) == expected


def test_a_time_without_a_zone_is_local() -> None:
    whole = calendar_ns("2020-02-03T00:00:00")
    assert calendar_ns("2020-02-03") == calendar_ns("2020-02-03T00:00") == whole


@pytest.mark.parametrize("text", ["", "x", "2020", "2020-13-01", "2020-01-01T", "1970-01-02T00Zx"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidArgument, match="failed to parse value as time or duration"):
        calendar_ns(text)
