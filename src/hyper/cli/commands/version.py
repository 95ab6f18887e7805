"""hyper version: of the command and of the daemon."""

import sys

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.usage_texts import OBJECT_FORMAT_HELP
from hyper.core.errors import HyperError
from hyper.sdk import answers

_API_VERSION = "1.50"

_LABELS = {"GoVersion": "Go version", "GitCommit": "Git commit", "BuildTime": "Built"}
_SHOWN_ELSEWHERE = ("ApiVersion", "MinAPIVersion", "Os", "Arch", "Version", "KernelVersion")
_WIDTH = 20


def version(call: Invocation) -> int:
    """Show both versions; --short is the command's alone and asks nobody."""
    import hyper

    if call.options.on("short"):
        print(f"Hyper version {hyper.__version__}")
        return 0
    client = {
        "Version": hyper.__version__,
        "ApiVersion": _API_VERSION,
        "DefaultAPIVersion": _API_VERSION,
        "PythonVersion": sys.version.partition(" ")[0],
        "Os": sys.platform,
        "Arch": _architecture(),
        "Context": "default",
    }
    layout = call.options.text("format")
    compiled = None
    if layout:
        from hyper.cli.inspection import compile_layout, print_formatted

        compiled = compile_layout(layout)
    server: object = None
    failure: HyperError | None = None
    try:
        server = call.daemon.call("GET", "/version")
    except HyperError as err:
        failure = err
    if compiled:
        # A template may use the names docker has beside those of the API.
        shown = {**client, "APIVersion": _API_VERSION}
        if layout == "json":
            shown = client
        elif isinstance(server, dict):
            server["APIVersion"] = answers.text(server, "ApiVersion")
        print_formatted({"Client": shown, "Server": server}, compiled)
    else:
        _print_client(client)
        if server:
            _print_server(server)
    if failure:
        sys.stdout.flush()
        raise failure
    return 0


def _architecture() -> str:
    import os

    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _print_client(client: dict[str, str]) -> None:
    print("Client:")
    _rows(
        (
            ("Version", client["Version"]),
            ("API version", client["ApiVersion"]),
            ("Python version", client["PythonVersion"]),
            ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
            ("Context", client["Context"]),
        ),
        " ",
    )


def _print_server(server: object) -> None:
    def get(name: str) -> str:
        return answers.text(server, name)

    platform = answers.text(server, "Platform", "Name")
    print(f"\nServer: {platform or 'Hyper'}")
    components = answers.objects(server, "Components")
    for component in components:
        print(f" {answers.text(component, 'Name')}:")
        details = answers.mapping(component, "Details")
        rows = [("Version", answers.text(component, "Version"))]
        if component is components[0]:
            rows += [
                ("API version", f"{get('ApiVersion')} (minimum version {get('MinAPIVersion')})"),
                ("OS/Arch", f"{get('Os')}/{get('Arch')}"),
            ]
        rows += [
            (_LABELS.get(name, name), str(value))
            for name, value in details.items()
            if value and name not in _SHOWN_ELSEWHERE
        ]
        _rows(tuple(rows), "  ")
    if not components:
        _rows((("Version", get("Version")), ("API version", get("ApiVersion"))), " ")


def _rows(rows: tuple[tuple[str, str], ...], indent: str) -> None:
    for name, value in rows:
        print(f"{indent + name + ':':<{_WIDTH}}{value}")


COMMAND = Command(
    version,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("format", TEXT, OBJECT_FORMAT_HELP, short="f"),
        Flag("short", BOOL, "Print only the version of this command", hidden=True),
    ),
)
