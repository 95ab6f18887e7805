"""hyper push: an image to a registry."""

from hyper.cli import reference
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.progress import ProgressDisplay
from hyper.sdk.http1 import path_of


def push(call: Invocation) -> int:
    """Upload an image, or with -a all tags of a repository."""
    from hyper.cli.credentials import auth_headers, encode

    options = call.options
    quiet = options.on("quiet")
    image = reference.parse(call.arguments[0], "" if options.on("all-tags") else "latest")
    if options.on("all-tags") and image.tag:
        raise CommandFailed("tag can't be used with --all-tags/-a")
    if image.digest:
        raise CommandFailed("cannot push a digest reference")
    if not quiet and not options.on("all-tags") and not reference.parse(call.arguments[0]).suffix:
        print("Using default tag: latest", flush=True)
    query: dict[str, object] = {"tag": image.tag}
    if options.text("platform"):
        from hyper.cli.values import platform_object

        query["platform"] = platform_object(options.text("platform"))
    headers = auth_headers(image.domain) or (("X-Registry-Auth", encode({})),)
    response = call.daemon.open(
        "POST", path_of("images", image.name, "/push"), query, headers=headers
    )
    ProgressDisplay(1, quiet).show_all(response.json_stream())
    if quiet:
        print(image.canonical)
    return 0


COMMAND = Command(
    push,
    "[OPTIONS] NAME[:TAG]",
    minimum=1,
    maximum=1,
    names="image",
    flags=(
        Flag("all-tags", BOOL, "Push all tags of an image to the repository", short="a"),
        Flag("disable-content-trust", BOOL, "Skip image signing", default=True, hidden=True),
        Flag("platform", TEXT, "Push a platform-specific manifest as a single-platform image"),
        Flag("quiet", BOOL, "Suppress verbose output", short="q"),
    ),
)
