"""Owns exposed and published ports in Docker's form ("80/tcp", PortBindings), both ways."""

import ipaddress
import re
from collections.abc import Iterable

from hyper.core.errors import InvalidArgument
from hyper.core.spec import ContainerSpec, PortBinding
from hyper.core.values import read_list, read_object, read_string
from hyper.schema.fields import Updates

_PROTOCOLS = ("tcp", "udp", "sctp")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def parse_range(text: str, what: str) -> tuple[int, int]:
    """Return the first and last port of `80` or `80-90`. Raises InvalidArgument."""
    match = _RANGE.fullmatch(text)
    if not match:
        raise InvalidArgument(f'invalid {what}: "{text}"')
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last or last > 65535:
        raise InvalidArgument(f'invalid {what}: "{text}"')
    return first, last


def parse_port(text: str) -> list[tuple[int, str]]:
    """Return the pairs of port and protocol of 80, 80/udp, 80-82/tcp. Raises InvalidArgument."""
    numbers, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    first, last = parse_range(numbers, "port specification")
    return [(port, protocol) for port in range(first, last + 1)]


def read_exposed(value: object, where: str) -> tuple[str, ...]:
    """Return the keys of ExposedPorts, ranges taken apart. Raises InvalidArgument."""
    keys = read_object(value, where)
    return tuple(f"{port}/{protocol}" for key in keys for port, protocol in parse_port(key))


def read_bindings(value: object, where: str) -> Updates:
    """Read HostConfig.PortBindings: container port to a list of host addresses."""
    bindings: list[PortBinding] = []
    for key, targets in read_object(value, where).items():
        ports = parse_port(key)
        # A key without addresses publishes the port to a free one of the host, as dockerd does.
        for target in read_list(targets, f"{where}.{key}") or [{}]:
            body = read_object(target, f"{where}.{key}")
            host_ip = _host_ip(read_string(body.get("HostIp") or "", f"{where}.{key}.HostIp"))
            text = read_string(body.get("HostPort") or "0", f"{where}.{key}.HostPort")
            first, last = parse_range(text, "host port")
            bindings += _bind(ports, host_ip, first, last)
    return {"ports": tuple(bindings)}


def _host_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {text}") from None


def _bind(
    ports: list[tuple[int, str]], host_ip: str, first: int, last: int
) -> Iterable[PortBinding]:
    for at, (port, protocol) in enumerate(ports):
        if len(ports) > 1 and last - first == len(ports) - 1:
            yield PortBinding(port, protocol, host_ip, first + at)
        else:
            yield PortBinding(port, protocol, host_ip, first, last if last > first else 0)


def show_bindings(ports: Iterable[PortBinding]) -> dict[str, list[dict[str, str]]]:
    """Return bindings as PortBindings shows them."""
    shown: dict[str, list[dict[str, str]]] = {}
    for binding in ports:
        host = str(binding.host_port) if binding.host_port else ""
        if binding.host_port_end:
            host = f"{binding.host_port}-{binding.host_port_end}"
        key = f"{binding.container_port}/{binding.protocol}"
        shown.setdefault(key, []).append({"HostIp": binding.host_ip, "HostPort": host})
    return shown


def show_exposed(spec: ContainerSpec) -> dict[str, object]:
    """Return what a container exposes: as asked, and what it publishes."""
    keys = dict.fromkeys(spec.exposed_ports)
    keys |= dict.fromkeys(f"{port.container_port}/{port.protocol}" for port in spec.ports)
    return {key: {} for key in sorted(keys)}
