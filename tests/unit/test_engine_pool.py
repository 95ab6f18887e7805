"""Changing the pool of a running daemon: bounds, and what is left out stays."""

from types import SimpleNamespace
from typing import cast

import pytest

from hyper.core.errors import InvalidArgument
from hyper.engine.pool import MAX_WAITING, Pool
from hyper.hypervisor.factory import Factory, FactoryOptions


def make_pool() -> Pool:
    factory = SimpleNamespace(options=FactoryOptions(waiting=2, shapes=1))
    factory.configure = lambda options: setattr(factory, "options", options)
    return Pool(cast(Factory, factory))


def test_what_is_left_out_stays() -> None:
    pool = make_pool()
    pool.change(waiting=None, shapes=3)
    assert (pool.options.waiting, pool.options.shapes) == (2, 3)
    pool.change(waiting=0, shapes=None)
    assert (pool.options.waiting, pool.options.shapes) == (0, 3)


@pytest.mark.parametrize(
    ("waiting", "shapes"), [(-1, None), (MAX_WAITING + 1, None), (None, 0), (1, 65)]
)
def test_what_cannot_be_changes_nothing(waiting: int | None, shapes: int | None) -> None:
    pool = make_pool()
    with pytest.raises(InvalidArgument):
        pool.change(waiting, shapes)
    assert (pool.options.waiting, pool.options.shapes) == (2, 1)
