"""Owns Docker's HealthConfig: as asked for, and completed from the image's. Does not run checks."""

from collections.abc import Mapping

from hyper.core.errors import InvalidArgument
from hyper.core.spec import Healthcheck
from hyper.core.values import read_int, read_object, read_strings

NS_PER_S = 1e9
# moby daemon/health.go: defaultProbeInterval, defaultProbeTimeout, defaultProbeRetries, ...
_DEFAULT = Healthcheck(("NONE",), 30.0, 30.0, 0.0, 5.0, 3)
DURATIONS = (
    ("Interval", "interval_s"),
    ("Timeout", "timeout_s"),
    ("StartPeriod", "start_period_s"),
    ("StartInterval", "start_interval_s"),
)


def parse_healthcheck(value: object, where: str) -> Healthcheck:
    """Return a HealthConfig as asked, 0 and () where it says nothing.

    Raises InvalidArgument with Docker's text.
    """
    body = read_object(value, where)
    test = read_strings(body.get("Test"), f"{where}.Test")
    if test and test[0] not in ("", "NONE", "CMD", "CMD-SHELL"):
        raise InvalidArgument(f'Unknown healthcheck type "{test[0]}": use NONE, CMD or CMD-SHELL')
    seconds = {}
    for key, attribute in DURATIONS:
        nanoseconds = read_int(body.get(key) or 0, f"{where}.{key}")
        if nanoseconds and nanoseconds < 1_000_000:
            raise InvalidArgument(f"{key} in Healthcheck cannot be less than 1ms")
        seconds[attribute] = nanoseconds / NS_PER_S
    retries = read_int(body.get("Retries") or 0, f"{where}.Retries")
    if retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")
    return Healthcheck(test if test[:1] != ("",) else (), retries=retries, **seconds)


def merge_healthcheck(
    asked: Healthcheck | None, image: Mapping[str, object] | None
) -> Healthcheck | None:
    """Return a container's check as inspect shows it (moby commit.go merge), None without one.

    `image` is the raw HealthConfig of the image.
    """
    base = parse_healthcheck(image, "Healthcheck") if image else None
    if asked is None or base is None:
        return asked or base
    return Healthcheck(
        asked.test or base.test,
        asked.interval_s or base.interval_s,
        asked.timeout_s or base.timeout_s,
        asked.start_period_s or base.start_period_s,
        asked.start_interval_s or base.start_interval_s,
        asked.retries or base.retries,
    )


def complete_healthcheck(check: Healthcheck | None) -> Healthcheck | None:
    """Return a check with Docker's defaults where it says nothing, None when none is to run."""
    if check is None or not check.test or check.test[0] == "NONE":
        return None
    return Healthcheck(
        check.test,
        check.interval_s or _DEFAULT.interval_s,
        check.timeout_s or _DEFAULT.timeout_s,
        check.start_period_s,
        check.start_interval_s or _DEFAULT.start_interval_s,
        check.retries or _DEFAULT.retries,
    )
