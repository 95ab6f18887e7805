"""QEMU: the first driver. `create` is what `driver.create_driver` calls."""

from hyper.hypervisor.driver import Driver, DriverOptions
from hyper.hypervisor.drivers.qemu.driver import QemuDriver


def create(options: DriverOptions) -> Driver:
    """Return the QEMU driver."""
    return QemuDriver(options)
