"""hyper inspect: all the daemon knows of an object, as JSON."""

import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import container_path
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.usage_texts import OBJECT_FORMAT_HELP
from hyper.core.errors import HyperError
from hyper.sdk.errors import DaemonUnavailable, NotFoundError
from hyper.sdk.http1 import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.template import Template

_BAD_TEMPLATE = 64  # docker/cli: the status of a template that does not parse
_KINDS = ("container", "image", "network", "volume")


def inspect(call: Invocation) -> int:
    """Show objects of any kind, or of --type."""
    kind = call.options.text("type")
    if call.options.given("type") and kind not in _KINDS:
        wanted = '", "'.join(_KINDS)
        wrong = f'unknown type: "{kind}"' if kind else "type is empty"
        raise CommandFailed(f'{wrong}: must be one of "{wanted}"')
    return _inspect(call, (kind,) if kind else _KINDS)


def _inspect(call: Invocation, kinds: tuple[str, ...]) -> int:
    from hyper.cli.__main__ import error_text

    compiled = _compile(call.options.text("format"))
    found: list[object] = []
    failures: list[str] = []
    for name in call.arguments:
        try:
            found.append(_find(call, name, kinds))
        except DaemonUnavailable:
            raise
        except HyperError as err:
            failures.append(error_text(err))
    _show(found, compiled)
    if failures:
        sys.stdout.flush()
        print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


def _find(call: Invocation, name: str, kinds: tuple[str, ...]) -> object:
    """Return the first object called `name` among `kinds`. Raises ApiError, CommandFailed."""
    for kind in kinds:
        query = {"size": call.options.on("size")} if kind == "container" else None
        try:
            return call.daemon.call("GET", _path(kind, name), query)
        except NotFoundError:
            if len(kinds) == 1:
                raise
    raise CommandFailed(f"Error: No such object: {name}")


def _path(kind: str, name: str) -> str:
    match kind:
        case "container":
            return container_path(name, "/json")
        case "image":
            return path_of("images", name, "/json")
    return path_of(f"{kind}s", name)


def _show(found: list[object], compiled: "Template | None") -> None:
    if compiled is None:
        from json import dumps

        print(dumps(found, indent=4, ensure_ascii=False))
        return
    assert compiled
    from hyper.cli.template import TemplateError

    try:
        for item in found:
            print(compiled.render(item))
    except TemplateError as err:
        print()
        raise CommandFailed(f"template parsing error: {err}") from err


def _compile(layout: str) -> "Template | None":
    if not layout:
        return None
    from hyper.cli.inspection import compile_layout

    return compile_layout(layout, _BAD_TEMPLATE)


def _of(kind: str, arguments: str, *flags: Flag) -> Command:
    def show(call: Invocation) -> int:
        return _inspect(call, (kind,))

    return Command(show, arguments, minimum=1, names=kind, flags=(_FORMAT, *flags))


_FORMAT = Flag("format", TEXT, OBJECT_FORMAT_HELP, short="f")
_SIZE = Flag("size", BOOL, "Display total file sizes", short="s")
COMMAND = Command(
    inspect,
    "[OPTIONS] NAME|ID [NAME|ID...]",
    minimum=1,
    names="container",
    flags=(
        _FORMAT,
        Flag("size", BOOL, "Display total file sizes if the type is container", short="s"),
        Flag("type", TEXT, "Only inspect objects of the given type", values=_KINDS),
    ),
)
CONTAINER = _of("container", "[OPTIONS] CONTAINER [CONTAINER...]", _SIZE)
IMAGE = _of("image", "[OPTIONS] IMAGE [IMAGE...]")
NETWORK = _of(
    "network",
    "[OPTIONS] NETWORK [NETWORK...]",
    Flag("verbose", BOOL, "Verbose output for diagnostics", short="v"),
)
VOLUME = _of("volume", "[OPTIONS] VOLUME [VOLUME...]")
