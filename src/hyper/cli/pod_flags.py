"""The flags of pod create and run, and the pod document they stand for.

The daemon knows only documents: with --file it is the user's text, otherwise it is made here.
"""

import sys

from hyper.cli.command import CommandFailed, Invocation
from hyper.cli.flags import BOOL, INT, ITEMS, MAP, SIZE, TEXT, Flag
from hyper.sdk import answers, jsontext
from hyper.sdk.errors import ApiError, NotFoundError
from hyper.sdk.http1 import path_of

_YAML = (("Content-Type", "application/yaml"),)
_TEXT_ONLY = ("name", "file", "pull")

CREATE_FLAGS = (
    Flag("deadline", INT, "Seconds after which the pod is stopped"),
    Flag("device", ITEMS, "Device of the host: pci:ADDRESS, or block:/dev/NAME[:/dev/TARGET][:ro]"),
    Flag("dns", ITEMS, "Name servers of its containers"),
    Flag("file", TEXT, "Pod document, YAML or JSON; - for stdin", short="f"),
    Flag("follows", BOOL, "Stop the pod when its last container has ended"),
    Flag("hostname", TEXT, "Host name of its containers", short="h"),
    Flag("ip", TEXT, "Address of the pod on its network"),
    Flag("kernel", TEXT, "Guest kernel: a path, or a name of `hyper kernel ls`"),
    Flag("kernel-parameter", ITEMS, "Kernel parameter that the daemon allows"),
    Flag("label", ITEMS, "Set meta data on the pod", short="l"),
    Flag("mac-address", TEXT, "MAC address of the pod on its network"),
    Flag("machine", TEXT, "Machine type of its VM", values=("microvm", "q35")),
    Flag("max-memory", SIZE, "Most memory it can be given while it runs"),
    Flag("max-vcpus", INT, "Most virtual CPUs it can be given while it runs"),
    Flag("memory", SIZE, "Memory of its VM", short="m"),
    Flag("name", TEXT, "Name of the pod"),
    Flag("network", TEXT, "Network of the pod"),
    Flag("publish", ITEMS, "Publish ports: [IP:][HOST:]PORT[/PROTOCOL], ranges too", short="p"),
    Flag(
        "pull",
        TEXT,
        'Pull images before creating ("always", "missing", "never")',
        default="missing",
        values=("always", "missing", "never"),
    ),
    Flag("service", ITEMS, "Service inside: ADDRESS:PORT=HOST:PORT[,HOST:PORT...]"),
    Flag("share-pid", BOOL, "Containers see each other's processes"),
    Flag("shm-size", SIZE, "Size of /dev/shm"),
    Flag("sysctl", MAP, "Kernel settings of the pod"),
    Flag("vcpus", INT, "Virtual CPUs of its VM"),
    Flag("volume", ITEMS, "Volume for all its containers: [NAME|/PATH:]/MOUNT[:ro]", short="v"),
)


def document(call: Invocation) -> bytes:
    """Return the pod document that a command line asks for. Raises CommandFailed."""
    options = call.options
    path = options.text("file")
    if not path:
        return jsontext.dumps(_from_flags(call)).encode()
    if call.arguments:
        raise CommandFailed("either --file or images can be given, not both")
    names = [flag.name for flag in CREATE_FLAGS if flag.name not in _TEXT_ONLY]
    for name in names:
        if options.given(name):
            raise CommandFailed(f"--{name} cannot be given with --file: write it into the document")
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as err:
        raise CommandFailed(f"cannot read {path}: {err.strerror}") from err


def _from_flags(call: Invocation) -> dict[str, object]:
    from hyper.cli.values import pairs

    options = call.options
    body: dict[str, object] = {}
    for flag, key in (("hostname", "hostname"), ("kernel", "kernel"), ("machine", "machine")):
        if options.text(flag):
            body[key] = options.text(flag)
    for flag, key in (("kernel-parameter", "kernelParameters"), ("dns", "dns")):
        if options.items(flag):
            body[key] = options.items(flag)
    for flag, key in (("label", "labels"), ("sysctl", "sysctl")):
        if options.items(flag):
            body[key] = pairs(options.items(flag))
    for flag, key in (("follows", "follows"), ("share-pid", "shareProcessNamespace")):
        if options.on(flag):
            body[key] = True
    place = {
        key: options.text(flag)
        for flag, key in (("network", "network"), ("ip", "ip"), ("mac-address", "mac"))
        if options.given(flag)
    }
    if place:
        body["interfaces"] = [place]
    if options.given("deadline"):
        body["deadline"] = options.number("deadline")
    if options.given("shm-size"):
        body["shmSize"] = options.number("shm-size")
    resource: dict[str, object] = {}
    if options.given("vcpus"):
        resource["vcpu"] = options.number("vcpus")
    if options.given("memory"):
        resource["memory"] = f"{options.number('memory')}b"
    if options.given("max-vcpus"):
        resource["maxVcpu"] = options.number("max-vcpus")
    if options.given("max-memory"):
        resource["maxMemory"] = f"{options.number('max-memory')}b"
    if resource:
        body["resource"] = resource
    if options.given("publish"):
        body["portmappings"] = [port(text) for text in options.items("publish")]
    if options.given("device"):
        body["devices"] = [device(text) for text in options.items("device")]
    if options.given("service"):
        body["services"] = [service(text) for text in options.items("service")]
    volumes, uses, named = _volumes(options.items("volume"))
    if volumes:
        body["volumes"] = volumes
    body["containers"] = [
        {"image": image, "volumes": uses, "namedVolumes": named} for image in call.arguments
    ]
    return body


def port(text: str) -> dict[str, object]:
    """Return a port mapping of the document for `[IP:][HOST:]PORT[/PROTOCOL]`."""
    numbers, _, protocol = text.partition("/")
    rest, _, container = numbers.rpartition(":")
    address, _, host = rest.rpartition(":")
    mapping: dict[str, object] = {"containerPort": container}
    if host:
        mapping["hostPort"] = host
    if protocol:
        mapping["protocol"] = protocol
    if address:
        mapping["hostIP"] = address.strip("[]")
    return mapping


def device(text: str) -> dict[str, object]:
    """Return a device of the document for `pci:ADDRESS` or `block:PATH[:TARGET][:ro]`.

    Raises CommandFailed.
    """
    kind, _, rest = text.partition(":")
    if kind == "pci" and rest:
        return {"path": rest}
    path, *more = rest.split(":")
    found: dict[str, object] = {"path": path}
    if more and more[-1] in ("ro", "rw"):
        found["readOnly"] = more.pop() == "ro"
    if more:
        found["target"] = more.pop()
    if kind != "block" or not path.startswith("/dev/") or more:
        raise CommandFailed(f"{text}: pci:ADDRESS or block:/dev/NAME[:/dev/TARGET][:ro] is needed")
    return found


def service(text: str) -> dict[str, object]:
    """Return a service of the document for `ADDRESS:PORT=HOST:PORT[,...]`. Raises CommandFailed."""
    front, _, hosts = text.partition("=")
    address, front_port = _host_port(front, text)
    backends = [_host_port(item, text) for item in hosts.split(",") if item]
    return {
        "serviceip": address,
        "serviceport": front_port,
        "hosts": [{"hostip": host, "hostport": number} for host, number in backends],
    }


def _host_port(text: str, whole: str) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    if not host or not number.isdigit():
        raise CommandFailed(f"{whole}: ADDRESS:PORT=HOST:PORT[,HOST:PORT...] is needed")
    return host.strip("[]"), int(number)


def _volumes(
    texts: list[str],
) -> tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]:
    """Return the pod's volumes, how containers mount them, and the named volumes they mount."""
    volumes: list[dict[str, object]] = []
    uses: list[dict[str, object]] = []
    named: list[dict[str, object]] = []
    for number, text in enumerate(texts):
        parts = text.split(":")
        read_only = len(parts) > 1 and parts[-1] in ("ro", "rw")
        flag = parts.pop() == "ro" if read_only else False
        if len(parts) not in (1, 2) or not parts[-1].startswith("/"):
            raise CommandFailed(f"{text}: [NAME|/PATH:]/MOUNT[:ro] is needed")
        use: dict[str, object] = {"path": parts[-1], "readOnly": flag}
        if len(parts) == 2 and not parts[0].startswith("/"):
            named.append({"name": parts[0], **use})
            continue
        volume: dict[str, object] = {"name": f"volume{number}"}
        if len(parts) == 2:
            volume |= {"driver": "directory", "source": parts[0]}
        volumes.append(volume)
        uses.append({"volume": volume["name"], **use})
    return volumes, uses, named


def create_pod(call: Invocation, body: bytes, *, start: bool, remove: bool = False) -> object:
    """Have the daemon create a pod, pulling what images are missing; with `remove` it removes the
    pod by itself at its end. Raises ApiError.
    """
    pulled: set[str] = set()
    while True:
        query = {"name": call.options.text("name"), "start": start, "rm": remove}
        try:
            response = call.daemon.open("POST", "/hyper/v1/pods", query, body, _YAML)
            return response.json()
        except NotFoundError as err:
            image = _missing_image(call, err)
            if not image or image in pulled or call.options.text("pull") != "missing":
                raise
            pull(call, image)
            pulled.add(image)


def _missing_image(call: Invocation, err: ApiError) -> str:
    """Return the image an error says is missing; "" when it is about something else."""
    words = "No such image: "
    text = str(err)
    name = text.partition(words)[2] if words in text else ""
    return name if name and not call.daemon.exists(path_of("images", name, "/json")) else ""


def pull(call: Invocation, image: str) -> None:
    """Pull an image as run does."""
    from hyper.cli.pulling import announce_missing, pull_for_container

    announce_missing(image, quiet=False)
    pull_for_container(call.daemon, image, "", quiet=False)


def pod_containers(call: Invocation, pod: str) -> "list[dict[str, object]]":
    """Return the containers of a pod, in their order."""
    found = call.daemon.call("GET", path_of("hyper/v1/pods", pod))
    return answers.objects(found, "Containers")
