"""Health after each probe, as Docker counts."""

from hyper.engine.health import HEALTHY, STARTING, UNHEALTHY, after, of_the_ended
from hyper.engine.views import Health, HealthProbe


def probe(code):
    return HealthProbe(1, 2, code, "")


def test_one_success_makes_healthy_and_clears_the_streak():
    assert after(Health(STARTING, 2), probe(0), 3, excused=False).status == HEALTHY
    assert after(Health(UNHEALTHY, 7), probe(0), 3, excused=False).failing_streak == 0


def test_unhealthy_only_after_as_many_failures_as_retries():
    health = Health(HEALTHY)
    seen = []
    for _ in range(3):
        health = after(health, probe(1), 3, excused=False)
        seen.append((health.status, health.failing_streak))
    assert seen == [(HEALTHY, 1), (HEALTHY, 2), (UNHEALTHY, 3)]


def test_failures_of_the_start_period_do_not_count():
    health = after(Health(STARTING), probe(1), 1, excused=True)
    assert (health.status, health.failing_streak, len(health.log)) == (STARTING, 0, 1)


def test_only_the_last_probes_are_kept():
    health = Health(STARTING)
    for _ in range(9):
        health = after(health, probe(1), 99, excused=False)
    assert len(health.log) == 5


def test_who_has_ended_is_unhealthy_if_it_was_checked_at_all():
    assert of_the_ended(None) is None
    assert of_the_ended(Health(HEALTHY, 0, (probe(0),))) == Health(UNHEALTHY, 0, (probe(0),))
