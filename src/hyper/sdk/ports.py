"""-p and --expose in the words of the API (docker/go-connections nat.ParsePortSpec)."""

from hyper.core.errors import InvalidArgument
from hyper.sdk.words import csv_fields

_PROTOCOLS = ("tcp", "udp", "sctp")

TYPE_CHECKING = False
if TYPE_CHECKING:
    Bindings = dict[str, list[dict[str, str]]]


def parse_published(words: list[str]) -> "Bindings":
    """Return container port: host bindings of -p. Raises InvalidArgument with docker's text."""
    bindings: Bindings = {}
    for word in words:
        if "=" in word:
            word = _short_form(word)
        for port, binding in _parse_one(word):
            bindings.setdefault(port, []).append(binding)
    return bindings


def parse_exposed(words: list[str]) -> list[str]:
    """Return the container ports of --expose. Raises InvalidArgument with docker's text."""
    ports = []
    for word in words:
        if ":" in word:
            raise InvalidArgument(f"invalid port format for --expose: {word}")
        numbers, protocol = _protocol(word)
        try:
            first, last = _range(numbers)
        except InvalidArgument as err:
            raise InvalidArgument(
                f"invalid range format for --expose: {word}, error: {err}"
            ) from err
        ports += [f"{port}/{protocol}" for port in range(first, last + 1)]
    return ports


def _short_form(word: str) -> str:
    fields = dict.fromkeys(("target", "published", "protocol", "mode"), "")
    for field in csv_fields(word):
        key, separator, value = field.partition("=")
        if not separator or not value:
            raise InvalidArgument(f"invalid field format for published ports: {field}")
        if key not in fields:
            raise InvalidArgument(f"invalid field key '{key}'")
        fields[key] = value
    if not fields["target"]:
        raise InvalidArgument("target port is required")
    return f"{fields['published']}:{fields['target']}/{fields['protocol'] or 'tcp'}".lstrip(":")


def _protocol(word: str) -> tuple[str, str]:
    numbers, separator, protocol = word.partition("/")
    protocol = protocol.lower() if separator else "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    return numbers, protocol


def _range(text: str) -> tuple[int, int]:
    first, separator, last = text.partition("-")
    numbers = []
    for part in (first, last if separator else first):
        if not part.isascii() or not part.isdigit():
            raise InvalidArgument(f'strconv.ParseUint: parsing "{part}": invalid syntax')
        if int(part) > 65535:
            raise InvalidArgument(f'strconv.ParseUint: parsing "{part}": value out of range')
        numbers.append(int(part))
    if numbers[1] < numbers[0]:
        raise InvalidArgument(f"invalid range specified for port: {text}")
    return numbers[0], numbers[1]


def _parse_one(word: str) -> list[tuple[str, dict[str, str]]]:
    address, host, container = _split(word)
    container, protocol = _protocol(container)
    if not container:
        raise InvalidArgument(f"no port specified: {word}<empty>")
    first, last = _named_range("containerPort", container)
    if not host:
        return [
            (f"{port}/{protocol}", {"HostIp": address, "HostPort": ""})
            for port in range(first, last + 1)
        ]
    host_first, host_last = _named_range("hostPort", host)
    if host_last - host_first != last - first:
        if first != last:
            raise InvalidArgument(
                f"invalid ranges specified for container and host Ports: {container} and {host}"
            )
        return [
            (f"{first}/{protocol}", {"HostIp": address, "HostPort": f"{host_first}-{host_last}"})
        ]
    return [
        (f"{first + step}/{protocol}", {"HostIp": address, "HostPort": str(host_first + step)})
        for step in range(last - first + 1)
    ]


def _named_range(name: str, text: str) -> tuple[int, int]:
    try:
        return _range(text)
    except InvalidArgument as err:
        raise InvalidArgument(f"invalid {name}: {text}") from err


def _split(word: str) -> tuple[str, str, str]:
    """Return (host address, host ports, container ports) of [[ip:]host:]container."""
    rest, _, container = word.rpartition(":")
    if not rest:
        return "", "", container
    if rest.startswith("[") or rest.count(":") > 1:
        address, _, host = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
        address = address.removeprefix("[").removesuffix("]")
    else:
        address, _, host = rest.rpartition(":")
    if address:
        from hyper.sdk.words import check_ip

        try:
            check_ip(address)
        except InvalidArgument as err:
            raise InvalidArgument(f"invalid IP address: {address}") from err
    return address, host, container
