"""Owns what a container asks for and may use: requests and limits."""

from dataclasses import dataclass
from fractions import Fraction

from hyper.schema.kube.codecs import QUANTITY
from hyper.schema.kube.fields import (
    Codec,
    Table,
    acts,
    differs,
    idle,
    nested,
    read_mapping,
    refused,
)
from hyper.schema.kube.place import Place
from hyper.schema.kube.quantity import show_quantity

CPU, MEMORY, STORAGE = "cpu", "memory", "ephemeral-storage"
Amounts = tuple[tuple[str, Fraction], ...]


def _read_amounts(value: object, place: Place) -> Amounts:
    amounts = []
    for name, given in read_mapping(value, place).items():
        where = place.at(name)
        amount = QUANTITY.read(given, where)
        if name.startswith("hugepages-"):
            raise where.refused("the guest has no huge pages set aside")
        if name not in (CPU, MEMORY, STORAGE):
            if "/" not in name:
                raise where.invalid(name, "must be a standard resource for containers")
            raise where.refused("an extended resource: this machine has no such device")
        if name != CPU and amount.denominator != 1:
            amount = Fraction(-(-amount.numerator // amount.denominator))
        amounts.append((name, amount))
    return tuple(amounts)


def _write_amounts(value: Amounts) -> object:
    return {name: show_quantity(amount) for name, amount in value}


AMOUNTS: Codec[Amounts] = Codec(_read_amounts, _write_amounts)


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requests and limits by resource: cpu in CPUs, memory and ephemeral-storage in bytes."""

    limits: Amounts = ()
    requests: Amounts = ()

    def limit(self, name: str) -> Fraction | None:
        """Return a limit, None when there is none."""
        return dict(self.limits).get(name)

    def request(self, name: str) -> Fraction | None:
        """Return a request; by default the limit."""
        return dict(self.requests).get(name, self.limit(name))


NO_LIMITS = Requirements()


def _check(needs: Requirements, place: Place) -> None:
    for name, asked in needs.requests:
        limit = needs.limit(name)
        if limit is not None and asked > limit:
            raise place.at("requests").invalid(
                show_quantity(asked),
                f"must be less than or equal to {name} limit of {show_quantity(limit)}",
            )


REQUIREMENTS = Table(
    "resources",
    Requirements,
    (
        acts(
            "limits",
            AMOUNTS,
            "cpu, memory; ephemeral-storage is the size of the writable disk; others are refused",
        ),
        differs(
            "requests",
            AMOUNTS,
            "cpu is a share and memory is protected against the pod's other containers; nothing is "
            "scheduled by them",
        ),
        refused("claims", "there are no devices to claim"),
    ),
    _check,
)
REQUIREMENTS_CODEC = nested(REQUIREMENTS)

POD_REQUIREMENTS = Table(
    "pod resources",
    Requirements,
    (
        acts("limits", AMOUNTS, "cpu and memory of the VM"),
        idle("requests", "nothing is scheduled: the pod has its VM for itself"),
        refused("claims", "there are no devices to claim"),
    ),
)
