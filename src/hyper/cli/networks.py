"""--network and its companions in the words of the API (docker/cli opts/network.go)."""

from hyper.cli.flags import Options
from hyper.core.errors import InvalidArgument
from hyper.sdk.words import csv_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    Endpoint = dict[str, object]

_FIELDS = (
    "name",
    "alias",
    "ip",
    "ip6",
    "mac-address",
    "link-local-ip",
    "driver-opt",
    "gw-priority",
)


def endpoints(options: Options) -> "tuple[str, dict[str, Endpoint]]":
    """Return the network mode and, when more was asked than its name, each network's endpoint.

    Raises InvalidArgument.
    """
    words = options.items("network") + options.items("net")
    parsed = [_parse(word) for word in words] or [{"name": ["default"]}]
    first = parsed[0]
    for flag, key in (
        ("network-alias", "alias"),
        ("net-alias", "alias"),
        ("link-local-ip", "link-local-ip"),
    ):
        if options.given(flag):
            first.setdefault(key, []).extend(options.items(flag))
    for flag in ("ip", "ip6", "mac-address"):
        if options.text(flag):
            first[flag] = [options.text(flag)]
    mode = first["name"][0]
    result = {fields["name"][0]: _endpoint(fields) for fields in parsed}
    if len(parsed) == 1 and not result[mode]:
        return mode, {}
    return mode, result


def _parse(word: str) -> dict[str, list[str]]:
    if "=" not in word:
        return {"name": [word]}
    fields: dict[str, list[str]] = {}
    for field in csv_fields(word):
        key, separator, value = field.partition("=")
        key = key.strip().lower()
        if not separator or key not in _FIELDS:
            raise InvalidArgument(f"invalid field {field}")
        fields.setdefault(key, []).append(value.strip())
    if "name" not in fields:
        raise InvalidArgument("network name/id is not specified")
    return fields


def _endpoint(fields: dict[str, list[str]]) -> "Endpoint":
    endpoint: Endpoint = {}
    if "alias" in fields:
        endpoint["Aliases"] = fields["alias"]
    if "mac-address" in fields:
        endpoint["MacAddress"] = fields["mac-address"][0]
    if "driver-opt" in fields:
        endpoint["DriverOpts"] = {
            item.partition("=")[0]: item.partition("=")[2] for item in fields["driver-opt"]
        }
    if "gw-priority" in fields:
        endpoint["GwPriority"] = int(fields["gw-priority"][0])
    addresses: dict[str, object] = {}
    for key, name in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if key in fields:
            addresses[name] = fields[key][0]
    if "link-local-ip" in fields:
        addresses["LinkLocalIPs"] = fields["link-local-ip"]
    if addresses:
        endpoint["IPAMConfig"] = addresses
    return endpoint
