"""hyper info: what the daemon has and how it is set up."""

import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import TEXT, Flag
from hyper.cli.usage_texts import OBJECT_FORMAT_HELP
from hyper.core.errors import HyperError
from hyper.sdk import answers

_DRIVERS = (
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
)
_MACHINE = (
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
)
_IDENTITY = (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"))


def info(call: Invocation) -> int:
    """Show the daemon's information."""
    layout = call.options.text("format")
    compiled = None
    if layout:
        from hyper.cli.inspection import compile_layout, print_formatted

        compiled = compile_layout(layout)
    if not layout:
        import hyper

        print("Client:")
        print(f" Version:    {hyper.__version__}\n Context:    default\n Debug Mode: false")
        print("\nServer:", flush=True)
    try:
        found = call.daemon.call("GET", "/info")
    except HyperError as err:
        raise CommandFailed(
            f"{err}\nerrors pretty printing info" if not layout else str(err)
        ) from err
    if compiled:
        print_formatted(found, compiled)
        return 0
    for line in [*_lines(found), *_memory(call.daemon.call("GET", "/hyper/v1/memory"))]:
        print(line)
    print()
    sys.stdout.flush()
    for warning in answers.strings(found, "Warnings"):
        print(warning, file=sys.stderr)
    return 0


def _lines(found: object) -> list[str]:
    return [*_counts(found), *_parts(found), *_host(found), *_registries(found)]


def _counts(found: object) -> list[str]:
    def get(name: str) -> object:
        return answers.dig(found, name)

    return [
        f" Containers: {get('Containers')}",
        f"  Running: {get('ContainersRunning')}",
        f"  Paused: {get('ContainersPaused')}",
        f"  Stopped: {get('ContainersStopped')}",
        f" Images: {get('Images')}",
        f" Server Version: {get('ServerVersion')}",
    ]


def _parts(found: object) -> list[str]:
    lines = [f" Storage Driver: {answers.text(found, 'Driver')}"]
    status = answers.dig(found, "DriverStatus")
    lines += [f"  {pair[0]}: {pair[1]}" for pair in (status if isinstance(status, list) else [])]
    lines += _optional(found, _DRIVERS)
    lines.append(" Plugins:")
    for name in ("Volume", "Network", "Log"):
        plugins = answers.strings(found, "Plugins", name)
        if plugins:
            lines.append(f"  {name}: {' '.join(plugins)}")
    lines.append(f" Swarm: {answers.text(found, 'Swarm', 'LocalNodeState') or 'inactive'}")
    lines.append(f" Runtimes: {' '.join(sorted(answers.mapping(found, 'Runtimes')))}")
    lines += _optional(found, (("Default Runtime", "DefaultRuntime"),))
    security = answers.strings(found, "SecurityOptions")
    if security:
        lines.append(" Security Options:")
    for option in security:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        lines.append(f"  {fields.pop('name', option)}")
        lines += [f"   {name.title()}: {value}" for name, value in fields.items()]
    return lines


def _host(found: object) -> list[str]:
    from hyper.core.units import binary_size

    return [
        *_optional(found, _MACHINE),
        f" Total Memory: {binary_size(answers.number(found, 'MemTotal'))}",
        *_optional(found, _IDENTITY),
        f" Debug Mode: {_boolean(found, 'Debug')}",
        *_optional(found, (("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"))),
        f" Experimental: {_boolean(found, 'ExperimentalBuild')}",
    ]


def _memory(found: object) -> list[str]:
    """What Hyper takes of the host's memory, as proportional set size; "-" where unreadable."""
    pods = [pod.get("Pss") for pod in answers.objects(found, "Pods")]
    waiting = answers.number(found, "Waiting", "Count")
    return [
        " Memory in Use (PSS):",
        f"  Pods: {_sum(pods)} in {len(pods)}",
        f"  Waiting VMs: {_sum([answers.dig(found, 'Waiting', 'Pss')])} in {waiting}",
        f"  Daemon: {_sum([answers.dig(found, 'Daemon', 'Pss')])}",
    ]


def _sum(sizes: list[object]) -> str:
    from hyper.core.units import binary_size

    known = [size for size in sizes if isinstance(size, int)]
    return binary_size(sum(known)) if len(known) == len(sizes) else "-"


def _registries(found: object) -> list[str]:
    lines = []
    for title, name in (
        ("Insecure Registries", "InsecureRegistryCIDRs"),
        ("Registry Mirrors", "Mirrors"),
    ):
        values = answers.strings(found, "RegistryConfig", name)
        if values:
            lines += [f" {title}:", *(f"  {value}" for value in values)]
    return [*lines, f" Live Restore Enabled: {_boolean(found, 'LiveRestoreEnabled')}"]


def _boolean(found: object, name: str) -> str:
    return "true" if answers.dig(found, name) else "false"


def _optional(found: object, rows: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        f" {label}: {answers.dig(found, name)}"
        for label, name in rows
        if answers.dig(found, name) not in (None, "")
    ]


COMMAND = Command(
    info, "[OPTIONS]", maximum=0, flags=(Flag("format", TEXT, OBJECT_FORMAT_HELP, short="f"),)
)
