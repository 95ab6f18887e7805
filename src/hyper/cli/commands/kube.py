"""hyper play kube, hyper kube play and down, hyper generate kube: Kubernetes manifests."""

import os
import sys

from hyper.cli.archives import read_pieces, save_stream
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.credentials import config_headers
from hyper.cli.flags import BOOL, INT, ITEMS, TEXT, Flag
from hyper.cli.listing import print_table
from hyper.cli.progress import ProgressDisplay
from hyper.cli.streams import write_all
from hyper.sdk import answers, jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PATH = "/hyper/v1/play/kube"
_JSON = (("Content-Type", "application/json"),)


def _text(source: str) -> str:
    data = b"".join(read_pieces("" if source == "-" else source))
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise CommandFailed(f"{source}: not a text file: {err}") from err


def _body(call: Invocation) -> bytes:
    options = call.options
    text = "\n---\n".join(_text(source) for source in call.arguments)
    configuration = "\n---\n".join(
        _text(source) for item in options.items("configmap") for source in item.split(",")
    )
    return jsontext.dumps({"Text": text, "Configuration": configuration}).encode()


def _grace(call: Invocation) -> dict[str, object]:
    return {"t": call.options.number("time")} if call.options.given("time") else {}


def play(call: Invocation) -> int:
    """Make and start what the manifests describe, or remove it with --down."""
    options = call.options
    if options.on("down"):
        return down(call)
    query: dict[str, object] = {
        "replace": options.on("replace"),
        "start": "1" if options.on("start") else "0",
        **_grace(call),
    }
    headers = (*_JSON, *config_headers())
    response = call.daemon.open("POST", _PATH, query, _body(call), headers)
    pods: list[dict[str, object]] = []
    volumes: list[str] = []
    display = ProgressDisplay(2, options.on("quiet"))
    display.show_all(_taken(response.json_stream(), pods, volumes))
    response.close()
    _print_all("Volumes", volumes)
    for pod in pods:
        _print_pod(pod)
    return 0


def _taken(
    lines: "Iterable[object]", pods: "list[dict[str, object]]", volumes: "list[str]"
) -> "Iterator[object]":
    """Take out what is printed at the end or at once, and give on what is progress."""
    for line in lines:
        if not isinstance(line, dict):
            continue
        if isinstance(line.get("pod"), dict):
            pods.append(line["pod"])
        elif "volume" in line:
            if line.get("made"):
                volumes.append(str(line["volume"]))
        elif "service" in line:
            ports = line.get("ports") or []
            on_host = f", port {', '.join(map(str, ports))} of this host" if ports else ""
            address = line.get("address") or "the addresses of its pods"
            print(f"Service:\n{line['service']} at {address}{on_host}\n")
        elif "warning" in line:
            print(f"WARNING: {line['warning']}", file=sys.stderr)
        else:
            yield line


def _print_pod(pod: "dict[str, object]") -> None:
    containers = pod.get("Containers")
    found = containers if isinstance(containers, list) else []
    print(f"Pod:\n{pod.get('Id')}")
    print("Container:" if len(found) == 1 else "Containers:")
    for container in found:
        print(container.get("Id"))
    print()


def _print_all(title: str, names: "list[str]") -> None:
    if names:
        print(f"{title}:")
        print("\n".join(names))


def down(call: Invocation) -> int:
    """Stop and remove the pods of the manifests."""
    query = {"volumes": call.options.on("force"), **_grace(call)}
    response = call.daemon.open("DELETE", _PATH, query, _body(call), _JSON)
    told: dict[str, list[str]] = {
        "stopped": [],
        "removed": [],
        "volumeRemoved": [],
        "serviceRemoved": [],
    }
    for line in response.json_stream():
        if isinstance(line, dict) and line.get("error"):
            raise CommandFailed(f"Error response from daemon: {line['error']}")
        for key in told:
            if isinstance(line, dict) and key in line:
                told[key].append(str(line[key]))
    response.close()
    for title, key in (("Pods stopped", "stopped"), ("Pods removed", "removed")):
        print(f"{title}:")
        for name in told[key]:
            print(name)
    _print_all("Services removed", told["serviceRemoved"])
    print("Volumes removed:")
    for name in told["volumeRemoved"]:
        print(name)
    return 0


def generate(call: Invocation) -> int:
    """Write a manifest of pods and containers to stdout or to a new file."""
    target = call.options.text("filename")
    if target and os.path.exists(target):
        raise CommandFailed(f"cannot write to {target}: file exists")
    query = {"names": call.arguments}
    response = call.daemon.open("GET", "/hyper/v1/generate/kube", query)
    if target:
        save_stream(target, lambda: response, "save the manifest")
        return 0
    for piece in response.pieces():
        write_all(1, piece)
    return 0


def services(call: Invocation) -> int:
    """List services: where they are found, and who is behind them."""
    rows = []
    for item in answers.objects(call.daemon.call("GET", "/hyper/v1/services")):
        name, address = answers.text(item, "Name"), answers.text(item, "Address")
        for port in answers.objects(item, "Ports"):
            number, protocol = answers.number(port, "Port"), answers.text(port, "Protocol")
            published = answers.number(port, "HostPort")
            behind = [
                f"{answers.text(one, 'Address')}:{answers.number(one, 'Port')}"
                for one in answers.objects(port, "Backends")
            ]
            where = f"{address or 'None'}:{number}/{protocol}"
            rows.append([name, where, str(published or ""), ",".join(behind)])
    print_table(["NAME", "SERVICE", "HOST PORT", "PODS"], rows)
    return 0


_CONFIGMAP = Flag("configmap", ITEMS, "Read ConfigMaps and Secrets that pods refer to from FILE")
_FORCE = Flag("force", BOOL, "With --down, remove the volumes of claims too")
_TIME = Flag("time", INT, "Seconds to wait before killing a container that has to stop", short="t")
_FLAGS = (
    _CONFIGMAP,
    Flag("down", BOOL, "Stop and remove the pods of the manifests"),
    _FORCE,
    Flag("quiet", BOOL, "Suppress the progress of pulls", short="q"),
    Flag("replace", BOOL, "Remove pods of the same names first"),
    Flag("start", BOOL, "Start the pods", default=True),
    _TIME,
)
PLAY = Command(
    play,
    "[OPTIONS] FILE|- [FILE...]",
    minimum=1,
    flags=_FLAGS,
    description="Make pods and volumes from Kubernetes manifests; docs/kube.md says what of them",
)
DOWN = Command(
    down,
    "[OPTIONS] FILE|- [FILE...]",
    minimum=1,
    flags=(Flag("force", BOOL, "Remove the volumes of claims too"), _TIME),
)
SERVICES = Command(services, "", maximum=0)
GENERATE = Command(
    generate,
    "[OPTIONS] POD|CONTAINER [POD|CONTAINER...]",
    minimum=1,
    names="container",
    flags=(Flag("filename", TEXT, "Write to a new file, instead of STDOUT", short="f"),),
)
