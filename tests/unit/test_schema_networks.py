"""What `docker network create` and `--ip6` ask for, read from their bodies."""

from typing import Any

import pytest

from hyper.core.errors import HyperError
from hyper.core.spec import SubnetSpec
from hyper.schema.networks import parse_network, read_endpoint

_BRIDGE = "com.docker.network.bridge"


def _body(*subnets: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"Name": "net", "IPAM": {"Config": list(subnets)}, **fields}


def test_a_network_has_ipv6_beside_ipv4_in_whatever_order_it_is_given() -> None:
    four = {"Subnet": "10.1.0.0/24"}
    six = {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::9"}
    for given in ((four, six), (six, four)):
        spec = parse_network(_body(*given, EnableIPv6=True))
        assert spec.ipv6
        assert spec.subnets == (SubnetSpec("10.1.0.0/24"), SubnetSpec("fd00:1::/64", "fd00:1::9"))
    assert parse_network(_body(six, EnableIPv6=True)).subnets[0].subnet == "fd00:1::/64"
    assert parse_network(_body(EnableIPv6=True)).subnets == ()
    assert not parse_network(_body(four)).ipv6


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (_body({"Subnet": "fd00:1::/64"}), "needs EnableIPv6"),
        (_body({"Subnet": "fd00::/64"}, {"Subnet": "fd01::/64"}, EnableIPv6=True), "one subnet"),
        (_body({"Subnet": "fd00::/127"}, EnableIPv6=True), "no room"),
        (_body({"Subnet": "fd00::1/64"}, EnableIPv6=True), "invalid subnet"),
        (_body({"Subnet": "fd00::/64", "Gateway": "fd01::1"}, EnableIPv6=True), "doesn't contain"),
        (_body({"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}, EnableIPv6=True), "Gateway"),
        (_body(EnableIPv4=False, EnableIPv6=True), "EnableIPv4=false is not supported"),
        (_body(Options={f"{_BRIDGE}.name": "br0"}), "bridge.name is not supported"),
        (_body(Options={f"{_BRIDGE}.host_binding_ipv4": "::1"}), "invalid value of"),
        (_body(Options={f"{_BRIDGE}.host_binding_ipv4": "here"}), "invalid value of"),
        (_body(Options={f"{_BRIDGE}.enable_ip_masquerade": "false"}), "no other way out"),
        (_body(Options={f"{_BRIDGE}.enable_ip_masquerade": "maybe"}), "invalid value of"),
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, Any], words: str) -> None:
    with pytest.raises(HyperError, match=words):
        parse_network(body)


def test_an_endpoint_has_an_address_of_each_version() -> None:
    asked = {"IPAMConfig": {"IPv4Address": "10.1.0.7", "IPv6Address": "fd00:1:0::7"}}
    endpoint = read_endpoint("net", asked, "EndpointConfig")
    assert (endpoint.address, endpoint.address6) == ("10.1.0.7", "fd00:1::7")
    for network, address in (("net", "10.1.0.7"), ("net", "fd00::x"), ("bridge", "fd00::7")):
        with pytest.raises(HyperError):
            read_endpoint(network, {"IPAMConfig": {"IPv6Address": address}}, "EndpointConfig")
