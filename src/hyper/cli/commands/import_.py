"""hyper import: an image of one layer from a tar archive."""

from hyper.cli import reference
from hyper.cli.archives import read_pieces
from hyper.cli.command import Command, Invocation
from hyper.cli.flags import ITEMS, TEXT, Flag
from hyper.cli.progress import ProgressDisplay


def import_archive(call: Invocation) -> int:
    """Make an image of a file, a URL or stdin, and print its id."""
    options = call.options
    source = call.arguments[0]
    query: dict[str, object] = {
        "fromSrc": "-",
        "message": options.text("message"),
        "changes": options.items("change"),
        "platform": options.text("platform"),
    }
    if len(call.arguments) > 1:
        parsed = reference.parse(call.arguments[1])
        query.update(repo=parsed.name, tag=parsed.tag)
    if source.startswith(("http://", "https://")):
        query["fromSrc"] = source
        response = call.daemon.open("POST", "/images/create", query)
    else:
        pieces = read_pieces("" if source == "-" else source)
        response = call.daemon.open("POST", "/images/create", query, pieces)
    ProgressDisplay(1).show_all(response.json_stream())
    return 0


COMMAND = Command(
    import_archive,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    minimum=1,
    names="image",
    flags=(
        Flag("change", ITEMS, "Apply Dockerfile instruction to the created image", short="c"),
        Flag("message", TEXT, "Set commit message for imported image", short="m"),
        Flag("platform", TEXT, "Set platform if server is multi-platform capable"),
    ),
)
