"""Owns how the tests of one run are shared out among several processes (`make test`: pytest -n).

A module's tests go to one process, since they share a daemon; those run with two clients go as two.
What processes of one machine could disturb each other with: ports are nobody else's (ports.py),
folders are temporary, what is built or cached is so by one at a time (turns.py).
"""

import re
from collections.abc import Sequence

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

_CLIENT = re.compile(r"\[(docker|hyper)[]-]")


def group(node_id: str) -> str:
    """Return the name of the tests that go to one process together with this one."""
    file, _, test = node_id.partition("::")
    client = _CLIENT.search(test) if file.startswith("tests/api/") else None
    return f"{file} {client[1]}" if client else file


class Groups(LoadScopeScheduling):
    """Hands out groups in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in an order in which the processes end at about the same time.

    Virtual machines take longest, and a module of them the longer the more tests it has; unit tests
    fill what is left.
    """
    sizes: dict[str, int] = {}
    for item in items:
        sizes[group(item.nodeid)] = sizes.get(group(item.nodeid), 0) + 1

    def key(item: pytest.Item) -> tuple[bool, int, str]:
        name = group(item.nodeid)
        return item.get_closest_marker("vm") is None, -sizes[name], name

    return sorted(items, key=key)
