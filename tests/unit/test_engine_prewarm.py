"""What a new daemon expects: the shapes used before it that have a template."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from hyper.core.spec import VmSpec
from hyper.engine.prewarm import expect
from hyper.hypervisor.driver import Driver
from hyper.hypervisor.factory import Factory, Shape


@dataclass
class Recorder:
    """A factory that only notes what it is told to expect."""

    known: list[Shape]
    expected: list[str] = field(default_factory=list)

    def shapes(self) -> tuple[Shape, ...]:
        return tuple(self.known)

    async def expect(self, spec: VmSpec) -> str:
        self.expected.append(spec.vm_id)
        return spec.vm_id


def shape(key: str, used_s: float, *, asked: bool = False) -> Shape:
    return Shape(key, cast(VmSpec, object()) if asked else None, 0, 1, used_s, 0)


async def _key_of(spec: VmSpec) -> str:
    return spec.vm_id


def expected(known: list[Shape], wanted: list[str]) -> list[str]:
    recorder = Recorder(known)
    specs = [cast(VmSpec, SimpleNamespace(vm_id=key)) for key in wanted]
    driver = cast(Driver, SimpleNamespace(template_key=_key_of))
    asyncio.run(expect(cast(Factory, recorder), driver, specs))
    return recorder.expected


def test_the_latest_used_comes_last_for_it_is_filled_first() -> None:
    known = [shape("old", 1.0), shape("new", 3.0), shape("middle", 2.0)]
    assert expected(known, ["new", "old", "middle"]) == ["old", "middle", "new"]


def test_nothing_is_booted_on_a_guess() -> None:
    assert expected([shape("kept", 1.0)], ["none", "", "kept"]) == ["kept"]


def test_what_was_asked_for_meanwhile_stays_the_latest() -> None:
    assert expected([shape("asked", 1.0, asked=True), shape("kept", 2.0)], ["asked"]) == []
