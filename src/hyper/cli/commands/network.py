"""hyper network: networks, and containers joining and leaving them."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import each_of
from hyper.cli.flags import BOOL, FILTER, INT, ITEMS, MAP, STRINGS, TEXT, Flag
from hyper.cli.listing import label_text, short_id, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.cli.values import pairs
from hyper.sdk import answers
from hyper.sdk.errors import NotFoundError
from hyper.sdk.http1 import path_of

_FIELDS = ("ID", "Name", "Driver", "Scope")
_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def create(call: Invocation) -> int:
    """Create a network and print its id."""
    options = call.options
    ipam: dict[str, object] = {"Driver": options.text("ipam-driver"), "Config": _subnets(call)}
    if options.given("ipam-opt"):
        ipam["Options"] = pairs(options.items("ipam-opt"))
    body: dict[str, object] = {
        "Name": call.arguments[0],
        "Driver": options.text("driver"),
        "Internal": options.on("internal"),
        "Attachable": options.on("attachable"),
        "IPAM": ipam,
        "Options": pairs(options.items("opt")),
        "Labels": pairs(options.items("label")),
    }
    for flag, field in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if options.given(flag):
            body[field] = options.on(flag)
    if options.text("scope"):
        body["Scope"] = options.text("scope")
    print(answers.text(call.daemon.call("POST", "/networks/create", None, body), "Id"))
    return 0


def _subnets(call: Invocation) -> list[dict[str, object]]:
    """Return the subnets, each with the range and the gateway that lie in it."""
    import ipaddress

    options = call.options
    result: list[dict[str, object]] = [{"Subnet": text} for text in options.items("subnet")]
    for flag, field in (("ip-range", "IPRange"), ("gateway", "Gateway")):
        for text in options.items(flag):
            try:
                address = ipaddress.ip_address(text.partition("/")[0])
                owners = [
                    item
                    for item in result
                    if address in ipaddress.ip_network(str(item["Subnet"]), strict=False)
                ]
            except ValueError as err:
                raise CommandFailed(str(err)) from err
            if not owners:
                raise CommandFailed(f"no matching subnet for {field.lower()} {text}")
            owners[0][field] = text
    for name, text in pairs(options.items("aux-address")).items():
        if result:
            addresses = result[0].setdefault("AuxiliaryAddresses", {})
            assert isinstance(addresses, dict)
            addresses[name] = text
    return result


def list_networks(call: Invocation) -> int:
    """List networks."""
    options = call.options
    found = answers.objects(call.daemon.call("GET", "/networks", {"filters": options.filters()}))
    found.sort(key=lambda item: answers.text(item, "Name"))
    full = options.on("no-trunc")
    rows = [_row(item, full) for item in found]
    quiet = "ID" if options.on("quiet") else ""
    show(rows, options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def _row(item: dict[str, object], full: bool) -> dict[str, object]:
    labels = answers.mapping(item, "Labels")
    return {
        "ID": short_id(answers.text(item, "Id"), full),
        "Name": answers.text(item, "Name"),
        "Driver": answers.text(item, "Driver"),
        "Scope": answers.text(item, "Scope"),
        "IPv4": "true" if item.get("EnableIPv4") else "false",
        "IPv6": "true" if item.get("EnableIPv6") else "false",
        "Internal": "true" if item.get("Internal") else "false",
        "Labels": label_text(labels),
        "Label": lambda name: labels.get(name, ""),
        "CreatedAt": _go_time(answers.text(item, "Created")),
    }


def _go_time(text: str) -> str:
    """Return an RFC 3339 time as Go's Time.String prints it."""
    day, _, rest = text.partition("T")
    if rest.endswith("Z"):
        return f"{day} {rest[:-1]} +0000 UTC"
    return f"{day} {rest[:-6]} {rest[-6:].replace(':', '')} {rest[-6:].replace(':', '')}"


def remove(call: Invocation) -> int:
    """Remove networks."""

    def act(name: str) -> None:
        try:
            call.daemon.call("DELETE", path_of("networks", name))
        except NotFoundError:
            if not call.options.on("force"):
                raise
        else:
            print(name)

    return each_of(call.arguments, act, lambda name: None)


def connect(call: Invocation) -> int:
    """Connect a container to a network."""
    options = call.options
    network, container = call.arguments
    endpoint: dict[str, object] = {}
    addresses: dict[str, object] = {}
    for flag, field in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if options.text(flag):
            addresses[field] = options.text(flag)
    if options.given("link-local-ip"):
        addresses["LinkLocalIPs"] = options.items("link-local-ip")
    if addresses:
        endpoint["IPAMConfig"] = addresses
    for flag, field in (("alias", "Aliases"), ("link", "Links")):
        if options.given(flag):
            endpoint[field] = options.items(flag)
    if options.given("driver-opt"):
        endpoint["DriverOpts"] = pairs(options.items("driver-opt"))
    if options.given("gw-priority"):
        endpoint["GwPriority"] = options.number("gw-priority")
    body = {"Container": container, "EndpointConfig": endpoint}
    call.daemon.call("POST", path_of("networks", network, "/connect"), None, body)
    return 0


def disconnect(call: Invocation) -> int:
    """Disconnect a container from a network."""
    network, container = call.arguments
    body = {"Container": container, "Force": call.options.on("force")}
    call.daemon.call("POST", path_of("networks", network, "/disconnect"), None, body)
    return 0


CREATE = Command(
    create,
    "[OPTIONS] NETWORK",
    minimum=1,
    maximum=1,
    flags=(
        Flag("attachable", BOOL, "Enable manual container attachment"),
        Flag("aux-address", MAP, "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        Flag("driver", TEXT, "Driver to manage the Network", short="d", default="bridge"),
        Flag("gateway", STRINGS, "IPv4 or IPv6 Gateway for the master subnet"),
        Flag("internal", BOOL, "Restrict external access to the network"),
        Flag("ip-range", STRINGS, "Allocate container ip from a sub-range"),
        Flag("ipam-driver", TEXT, "IP Address Management Driver", default="default"),
        Flag("ipam-opt", MAP, "Set IPAM driver specific options"),
        Flag("ipv4", BOOL, "Enable or disable IPv4 address assignment", default=True),
        Flag("ipv6", BOOL, "Enable or disable IPv6 address assignment"),
        Flag("label", ITEMS, "Set metadata on a network"),
        Flag("opt", MAP, "Set driver specific options", short="o"),
        Flag("scope", TEXT, "Control the network's scope"),
        Flag("subnet", STRINGS, "Subnet in CIDR format that represents a network segment"),
    ),
)
LS = Command(
    list_networks,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("filter", FILTER, 'Provide filter values (e.g. "driver=bridge")', short="f"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Do not truncate the output"),
        Flag("quiet", BOOL, "Only display network IDs", short="q"),
    ),
)
RM = Command(
    remove,
    "NETWORK [NETWORK...]",
    minimum=1,
    names="network",
    flags=(Flag("force", BOOL, "Do not error if the network does not exist", short="f"),),
)
CONNECT = Command(
    connect,
    "[OPTIONS] NETWORK CONTAINER",
    minimum=2,
    maximum=2,
    names="network",
    flags=(
        Flag("alias", STRINGS, "Add network-scoped alias for the container"),
        Flag("driver-opt", STRINGS, "driver options for the network"),
        Flag("gw-priority", INT, "Highest gw-priority provides the default gateway"),
        Flag("ip", TEXT, 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", TEXT, 'IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", ITEMS, "Add link to another container"),
        Flag("link-local-ip", STRINGS, "Add a link-local address for the container"),
    ),
)
DISCONNECT = Command(
    disconnect,
    "[OPTIONS] NETWORK CONTAINER",
    minimum=2,
    maximum=2,
    names="network",
    flags=(Flag("force", BOOL, "Force the container to disconnect from a network", short="f"),),
)
