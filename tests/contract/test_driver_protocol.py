"""Every driver keeps the contract of hypervisor/driver.py, in its signatures and its size."""

import inspect
from pathlib import Path
from typing import get_type_hints

import pytest

from hyper.hypervisor import driver as contract
from hyper.hypervisor.driver import Driver, DriverOptions, Vm, create_driver, driver_names
from hyper.hypervisor.launcher import Launcher


def public(cls: type) -> dict[str, object]:
    """Return the public members a class defines itself."""
    return {name: value for name, value in vars(cls).items() if not name.startswith("_")}


def methods(cls: type) -> dict[str, object]:
    return {name: value for name, value in public(cls).items() if inspect.isfunction(value)}


def made(name: str, root: Path) -> Driver:
    return create_driver(name, DriverOptions(root, root / "k", root / "i", Launcher()))


def implementation_of_vm(driver: Driver) -> type:
    """Return the class of the VMs a driver starts, from the annotation of `start`."""
    found = get_type_hints(type(driver).start)["return"]
    assert isinstance(found, type)
    return found


def check(implementation: type, protocol: type) -> None:
    for name, declared in methods(protocol).items():
        actual = getattr(implementation, name, None)
        assert inspect.isfunction(actual), f"{implementation.__name__} has no {name}"
        assert inspect.isfunction(declared)
        assert inspect.iscoroutinefunction(actual) == inspect.iscoroutinefunction(declared), name
        names = list(inspect.signature(declared).parameters)
        assert list(inspect.signature(actual).parameters) == names, name
    for name, declared in public(protocol).items():
        if isinstance(declared, property):
            assert isinstance(inspect.getattr_static(implementation, name), property), name


@pytest.mark.parametrize("protocol", [Driver, Vm])
def test_the_contract_is_small(protocol: type) -> None:
    assert len(methods(protocol)) <= 12


@pytest.mark.parametrize("name", driver_names())
def test_a_driver_implements_the_contract(name: str, tmp_path: Path) -> None:
    driver = made(name, tmp_path)
    assert driver.name == name
    check(type(driver), Driver)
    check(implementation_of_vm(driver), Vm)


@pytest.mark.parametrize("name", driver_names())
def test_making_a_driver_touches_nothing(name: str, tmp_path: Path) -> None:
    made(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_protocol_method_is_documented() -> None:
    for protocol in (Driver, Vm):
        undocumented = [name for name, value in methods(protocol).items() if not value.__doc__]
        assert not undocumented, f"{contract.__name__}.{protocol.__name__}: {undocumented}"
