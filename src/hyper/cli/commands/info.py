"""hyper info: what the daemon has and how it is set up."""

import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import TEXT, Flag
from hyper.cli.usage_texts import OBJECT_FORMAT_HELP
from hyper.core.errors import HyperError
from hyper.sdk import answers


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
    for line in _lines(found):
        print(line)
    print()
    sys.stdout.flush()
    for warning in answers.strings(found, "Warnings"):
        print(warning, file=sys.stderr)
    return 0


def _lines(found: object) -> list[str]:
    from hyper.core.units import binary_size

    def get(name: str) -> object:
        return answers.dig(found, name)

    lines = [
        f" Containers: {get('Containers')}",
        f"  Running: {get('ContainersRunning')}",
        f"  Paused: {get('ContainersPaused')}",
        f"  Stopped: {get('ContainersStopped')}",
        f" Images: {get('Images')}",
        f" Server Version: {get('ServerVersion')}",
        f" Storage Driver: {get('Driver')}",
    ]
    status = get("DriverStatus")
    for pair in status if isinstance(status, list) else []:
        lines.append(f"  {pair[0]}: {pair[1]}")
    lines += _optional(
        found, (("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"))
    )
    lines += _optional(found, (("Cgroup Version", "CgroupVersion"),))
    lines.append(" Plugins:")
    for name in ("Volume", "Network", "Log"):
        plugins = answers.strings(found, "Plugins", name)
        if plugins:
            lines.append(f"  {name}: {' '.join(plugins)}")
    lines.append(f" Swarm: {answers.text(found, 'Swarm', 'LocalNodeState') or 'inactive'}")
    runtimes = sorted(answers.mapping(found, "Runtimes"))
    lines.append(f" Runtimes: {' '.join(runtimes)}")
    lines += _optional(found, (("Default Runtime", "DefaultRuntime"),))
    security = answers.strings(found, "SecurityOptions")
    if security:
        lines.append(" Security Options:")
        for option in security:
            fields = dict(part.partition("=")[::2] for part in option.split(","))
            lines.append(f"  {fields.pop('name', option)}")
            lines += [f"   {name.title()}: {value}" for name, value in fields.items()]
    lines += _optional(
        found,
        (
            ("Kernel Version", "KernelVersion"),
            ("Operating System", "OperatingSystem"),
            ("OSType", "OSType"),
            ("Architecture", "Architecture"),
            ("CPUs", "NCPU"),
        ),
    )
    lines.append(f" Total Memory: {binary_size(answers.number(found, 'MemTotal'))}")
    lines += _optional(
        found, (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"))
    )
    lines.append(f" Debug Mode: {'true' if get('Debug') else 'false'}")
    for label, name in (("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy")):
        if get(name):
            lines.append(f" {label}: {get(name)}")
    lines.append(f" Experimental: {'true' if get('ExperimentalBuild') else 'false'}")
    for title, path in (
        ("Insecure Registries", ("RegistryConfig", "InsecureRegistryCIDRs")),
        ("Registry Mirrors", ("RegistryConfig", "Mirrors")),
    ):
        values = answers.strings(found, *path)
        if values:
            lines += [f" {title}:", *(f"  {value}" for value in values)]
    lines.append(f" Live Restore Enabled: {'true' if get('LiveRestoreEnabled') else 'false'}")
    return lines


def _optional(found: object, rows: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        f" {label}: {answers.dig(found, name)}"
        for label, name in rows
        if answers.dig(found, name) not in (None, "")
    ]


COMMAND = Command(
    info, "[OPTIONS]", maximum=0, flags=(Flag("format", TEXT, OBJECT_FORMAT_HELP, short="f"),)
)
