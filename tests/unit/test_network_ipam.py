"""Addresses: given in turn, never twice, never the gateway's; subnets that do not overlap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.core.errors import Conflict, InvalidArgument, Unavailable
from hyper.network import ipam


def test_addresses_are_given_in_turn() -> None:
    pool = ipam.Pool("10.0.0.0/29", "10.0.0.1")
    assert [pool.take() for _ in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    pool.free("10.0.0.3")
    assert [pool.take() for _ in range(3)] == ["10.0.0.5", "10.0.0.6", "10.0.0.3"]
    with pytest.raises(Unavailable, match="no available IPv4 addresses"):
        pool.take()


def test_a_certain_address_is_given_once() -> None:
    pool = ipam.Pool("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25")
    assert pool.take("10.0.0.7") == "10.0.0.7"
    with pytest.raises(Conflict, match="Address already in use"):
        pool.take("10.0.0.7")
    with pytest.raises(Conflict):
        pool.take("10.0.0.1")
    with pytest.raises(InvalidArgument, match="no configured subnet contains"):
        pool.take("10.0.1.7")


@given(st.integers(0, 15), st.integers(24, 30))
def test_a_pool_gives_only_its_range_and_no_reserved_address(reserved: int, prefix: int) -> None:
    wanted = f"10.0.0.{reserved}"
    pool = ipam.Pool("10.0.0.0/24", "10.0.0.1", f"10.0.0.0/{prefix}", (wanted,))
    given_out = set()
    with pytest.raises(Unavailable):
        while True:
            given_out.add(pool.take())
    allowed = {f"10.0.0.{host}" for host in range(2 ** (32 - prefix))}
    refused = {"10.0.0.0", "10.0.0.1", "10.0.0.255", wanted}
    assert given_out == allowed - refused


def test_free_subnets_are_dockers_pools_and_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipam, "host_subnets", lambda: ["172.18.4.0/24"])
    assert ipam.free_subnet([]) == "172.17.0.0/16"
    assert ipam.free_subnet(["172.17.3.0/24"]) == "172.19.0.0/16"
    everything = [str(pool) for pool in ipam.default_pools()]
    with pytest.raises(Unavailable, match="fully subnetted"):
        ipam.free_subnet(everything)
