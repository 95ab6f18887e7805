"""hyper port: where a container's ports are published."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import container_path
from hyper.sdk import answers


def port(call: Invocation) -> int:
    """List published ports, or where one is."""
    name = call.arguments[0]
    answer = call.daemon.call("GET", container_path(name, "/json"))
    ports = answers.mapping(answer, "NetworkSettings", "Ports")
    if len(call.arguments) > 1:
        wanted = call.arguments[1]
        wanted = wanted.lower() if "/" in wanted else f"{wanted}/tcp"
        bindings = answers.objects(ports, wanted)
        if not bindings:
            raise CommandFailed(f"Error: No public port '{call.arguments[1]}' published for {name}")
        for line in sorted(map(_address, bindings)):
            print(line)
        return 0
    for inside in sorted(ports, key=_order):
        for line in sorted(map(_address, answers.objects(ports, inside))):
            print(f"{inside} -> {line}")
    return 0


def _address(binding: dict[str, object]) -> str:
    host = answers.text(binding, "HostIp")
    return f"{f'[{host}]' if ':' in host else host}:{answers.text(binding, 'HostPort')}"


def _order(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return (int(number) if number.isdigit() else 0, protocol)


COMMAND = Command(port, "CONTAINER [PRIVATE_PORT[/PROTO]]", minimum=1, maximum=2, names="container")
