"""hyper pool: the VMs that wait for the next pod, and the templates they are made of."""

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.core.units import human_size
from hyper.sdk import answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH = "/hyper/v1/pool"
_FIELDS = ("Key", "VCpus", "Memory", "Waiting", "Wanted", "Template", "Zygote")
_HEADERS = {
    "Key": "SHAPE",
    "VCpus": "VCPUS",
    "Memory": "MEMORY",
    "Waiting": "WAITING",
    "Wanted": "WANTED",
    "Template": "TEMPLATE",
    "Zygote": "ZYGOTE",
}
_SHORT = 12


def list_shapes(call: Invocation) -> int:
    """List the shapes of VM, how many of each wait, and what they are made of."""
    found = answers.mapping(call.daemon.call("GET", _PATH))
    rows = [
        _row(item, found, place, full=call.options.on("no-trunc"))
        for place, item in enumerate(answers.objects(found.get("Items")))
    ]
    quiet = "Key" if call.options.on("quiet") else ""
    show(rows, call.options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def _row(
    item: "Mapping[str, object]", pool: "Mapping[str, object]", place: int, *, full: bool
) -> dict[str, object]:
    memory, size = _number(item, "Memory"), _number(item, "TemplateSize")
    filled = memory and place < _number(pool, "Shapes")
    return {
        "Key": answers.text(item, "Key") if full else answers.text(item, "Key")[:_SHORT],
        "VCpus": str(_number(item, "VCpus") or "-"),
        "Memory": f"{memory // 1024 // 1024}MiB" if memory else "-",
        "Waiting": str(_number(item, "Waiting")),
        "Wanted": str(_number(pool, "Waiting") if filled else 0),
        "Template": human_size(size) if size else "-",
        "Zygote": "yes" if item.get("Zygote") else "-",
    }


def _number(item: "Mapping[str, object]", key: str) -> int:
    value = item.get(key)
    return value if isinstance(value, int) else 0


def change(call: Invocation) -> int:
    """Change what the pool keeps, until the daemon ends."""
    body: dict[str, object] = {}
    for flag, key in (("waiting", "Waiting"), ("shapes", "Shapes")):
        if call.options.given(flag):
            text = call.options.text(flag)
            if not text.isdecimal():
                raise CommandFailed(f'--{flag}: "{text}" is not a number')
            body[key] = int(text)
    if not body:
        raise CommandFailed("nothing to change: give --waiting or --shapes")
    call.daemon.call("POST", _PATH, None, body)
    return 0


LS = Command(
    list_shapes,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only display keys of shapes", short="q"),
    ),
)
SET = Command(
    change,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("shapes", TEXT, "How many of the shapes used last have waiting VMs"),
        Flag("waiting", TEXT, "How many VMs wait per shape (0: none)"),
    ),
)
