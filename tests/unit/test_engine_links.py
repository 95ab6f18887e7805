"""What a guest is told of its networks, and what its ports are on the host."""

from hyper.core.spec import (
    HOST_BINDING_OPTION,
    ContainerSpec,
    EndpointSpec,
    NetworkSpec,
    Nic,
    NicKind,
)
from hyper.engine import links
from hyper.engine.views import NetworkInfo
from hyper.network.networks import Joined, Link

DEFAULT = (bytes(4), 0)


def _joined(number: int, priority: int = 0, *, internal: bool = False) -> Joined:
    return Joined(
        network_id=f"net{number}",
        number=number,
        mac=f"02:00:00:00:00:0{number}",
        address=f"10.0.{number}.2",
        prefix_length=24,
        gateway=f"10.0.{number}.1",
        internal=internal,
        priority=priority,
    )


def _ways_out(*joined: Joined) -> list[str]:
    link = Link(Nic(NicKind.TAP, joined[0].mac), joined, (), (), "", "")
    return [
        interface.name
        for interface in links.interfaces(link)
        for route in interface.routes
        if (route.destination, route.prefix_length) == DEFAULT
    ]


def test_the_way_out_is_by_the_network_of_the_highest_priority() -> None:
    assert _ways_out(_joined(0), _joined(1)) == ["eth0"]
    assert _ways_out(_joined(0), _joined(1, 5), _joined(2, 5)) == ["eth1"]
    assert _ways_out(_joined(0, -1), _joined(1)) == ["eth1"]
    assert _ways_out(_joined(0), _joined(1, 9, internal=True)) == ["eth0"]


def _network(name: str, address: str = "", *, internal: bool = False) -> NetworkInfo:
    options = ((HOST_BINDING_OPTION, address),) if address else ()
    return NetworkInfo(name, 0, NetworkSpec(name, internal=internal, options=options))


def test_ports_have_the_address_of_the_network_with_the_way_out() -> None:
    networks = (
        _network("here", "127.0.0.1"),
        _network("lan", "10.0.0.1"),
        _network("inner", "10.0.0.2", internal=True),
        _network("all", "0.0.0.0"),
        _network("plain"),
    )

    def address(*places: tuple[str, int]) -> str:
        endpoints = tuple(EndpointSpec(name, name, priority=number) for name, number in places)
        return links.host_address(ContainerSpec("", endpoints=endpoints), networks)

    assert address(("here", 0), ("lan", 0)) == "127.0.0.1"
    assert address(("here", 0), ("lan", 1)) == "10.0.0.1"
    assert address(("lan", 0), ("inner", 9)) == "10.0.0.1"
    assert address(("plain", 0), ("here", 0)) == ""
    assert address(("all", 0)) == ""
    assert address(("gone", 0)) == ""
    assert address() == ""
