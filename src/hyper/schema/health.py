"""Owns the table row of Docker's HealthConfig: read into a specification and shown again."""

from hyper.core.health import DURATIONS, NS_PER_S, parse_healthcheck
from hyper.core.spec import ContainerSpec, Healthcheck
from hyper.schema.fields import Field, Support, Updates


def show_healthcheck(check: Healthcheck | None) -> dict[str, object] | None:
    """Return a HealthConfig with the fields that were set."""
    if check is None:
        return None
    body: dict[str, object] = {"Test": list(check.test)} if check.test else {}
    for key, attribute in DURATIONS:
        if seconds := getattr(check, attribute):
            body[key] = round(seconds * NS_PER_S)
    if check.retries:
        body["Retries"] = check.retries
    return body


def _read(value: object, where: str) -> Updates:
    return {"healthcheck": parse_healthcheck(value, where)}


def _show(spec: ContainerSpec) -> object:
    return show_healthcheck(spec.healthcheck)


HEALTHCHECK = Field("Healthcheck", Support.WORKS, "", _read, _show)
