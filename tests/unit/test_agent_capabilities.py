"""Capabilities by Docker's rules."""

import pytest

from hyper.agent import capabilities as caps
from hyper.core.errors import InvalidArgument


def test_names_and_bits_are_the_kernels() -> None:
    assert caps.mask(["CAP_CHOWN"]) == 1
    assert caps.mask(["CAP_SYS_ADMIN"]) == 1 << 21
    assert caps.mask(["CAP_CHECKPOINT_RESTORE"]) == 1 << 40
    assert caps.names(caps.mask(["CAP_BPF", "CAP_KILL"])) == ("CAP_KILL", "CAP_BPF")


def test_the_default_set_is_dockers() -> None:
    assert caps.resolve((), (), False) == caps.DEFAULT == 0xA80425FB


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["net_admin"], [], caps.DEFAULT | caps.mask(["CAP_NET_ADMIN"])),
        (["CAP_NET_ADMIN"], ["ALL"], caps.mask(["CAP_NET_ADMIN"])),
        ([], ["all"], 0),
        (["ALL"], ["Sys_Admin"], caps.ALL & ~caps.mask(["CAP_SYS_ADMIN"])),
        (["ALL"], ["ALL"], caps.ALL),
        (["CHOWN"], ["CHOWN"], caps.DEFAULT),
        ([], ["CAP_CHOWN", "KILL"], caps.DEFAULT & ~caps.mask(["CAP_CHOWN", "CAP_KILL"])),
    ],
)
def test_add_and_drop(add: list[str], drop: list[str], expected: int) -> None:
    assert caps.resolve(add, drop, False) == expected


def test_privileged_has_all() -> None:
    assert caps.resolve([], ["ALL"], True) == caps.ALL


def test_an_unknown_capability_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match='invalid CapDrop: unknown capability: "CAP_FLY"'):
        caps.resolve([], ["FLY"], False)
