"""Owns what users may see and change of the pool of waiting VMs (`hyper pool`).

A change lasts until the daemon ends; the configuration file says what it starts with.
"""

from dataclasses import replace

from hyper.core.errors import InvalidArgument
from hyper.hypervisor.factory import Factory, FactoryOptions, Shape

MAX_WAITING, MAX_SHAPES = 256, 64


class Pool:
    """The pool of the running daemon."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @property
    def options(self) -> FactoryOptions:
        """What the pool tries to keep."""
        return self._factory.options

    def shapes(self) -> tuple[Shape, ...]:
        """Return the shapes of VM the pool knows, most recently used first."""
        return self._factory.shapes()

    def change(self, waiting: int | None, shapes: int | None) -> None:
        """Keep `waiting` clones of each of the `shapes` most recent shapes; None: as before.

        Raises InvalidArgument.
        """
        options = self._factory.options
        if waiting is not None:
            if not 0 <= waiting <= MAX_WAITING:
                raise InvalidArgument(f"Waiting: {waiting} is not between 0 and {MAX_WAITING}")
            options = replace(options, waiting=waiting)
        if shapes is not None:
            if not 1 <= shapes <= MAX_SHAPES:
                raise InvalidArgument(f"Shapes: {shapes} is not between 1 and {MAX_SHAPES}")
            options = replace(options, shapes=shapes)
        self._factory.configure(options)
