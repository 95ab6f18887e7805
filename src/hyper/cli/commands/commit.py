"""hyper commit: an image of what a container has become."""

from hyper.cli import reference
from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, ITEMS, TEXT, Flag
from hyper.sdk import answers


def commit(call: Invocation) -> int:
    """Make an image of a container, and print its id."""
    options = call.options
    query: dict[str, object] = {
        "container": call.arguments[0],
        "author": options.text("author"),
        "comment": options.text("message"),
        "changes": options.items("change"),
        "pause": int(options.on("pause")),
    }
    if len(call.arguments) > 1:
        parsed = reference.parse(call.arguments[1])
        query.update(repo=parsed.name, tag=parsed.tag)
    print(answers.text(call.daemon.call("POST", "/commit", query), "Id"))
    return 0


COMMAND = Command(
    commit,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    minimum=1,
    maximum=2,
    names="container",
    flags=(
        Flag(
            "author", TEXT, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', short="a"
        ),
        Flag("change", ITEMS, "Apply Dockerfile instruction to the created image", short="c"),
        Flag("message", TEXT, "Commit message", short="m"),
        Flag("pause", BOOL, "Pause container during commit", short="p", default=True),
    ),
)
