"""What a guest is told of its networks."""

from hyper.core.spec import Nic, NicKind
from hyper.engine import links
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
