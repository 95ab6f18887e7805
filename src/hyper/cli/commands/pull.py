"""hyper pull: an image from a registry."""

from hyper.cli import reference
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.progress import ProgressDisplay


def pull(call: Invocation) -> int:
    """Pull an image and print its full name."""
    from hyper.cli import pulling

    options = call.options
    quiet = options.on("quiet")
    if options.on("all-tags"):
        image = reference.parse(call.arguments[0])
        if image.tag or image.digest:
            raise CommandFailed("tag can't be used with --all-tags/-a")
    else:
        image = reference.parse(call.arguments[0], "latest")
        if not quiet and not reference.parse(call.arguments[0]).suffix:
            print("Using default tag: latest", flush=True)
    pulling.pull(call.daemon, image, options.text("platform"), ProgressDisplay(1, quiet))
    print(image.canonical)
    return 0


COMMAND = Command(
    pull,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    minimum=1,
    maximum=1,
    names="image",
    flags=(
        Flag("all-tags", BOOL, "Download all tagged images in the repository", short="a"),
        Flag("disable-content-trust", BOOL, "Skip image verification", default=True, hidden=True),
        Flag("platform", TEXT, "Set platform if server is multi-platform capable"),
        Flag("quiet", BOOL, "Suppress verbose output", short="q"),
    ),
)
