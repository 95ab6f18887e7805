"""hyper tag: another name for an image."""

from hyper.cli import reference
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.core.errors import InvalidArgument
from hyper.sdk.http1 import path_of


def tag(call: Invocation) -> int:
    """Give an image another name."""
    source, target = call.arguments
    try:
        parsed = reference.parse(target, "latest")
    except InvalidArgument as err:
        raise CommandFailed(
            f'Error parsing reference: "{target}" is not a valid repository/tag: {err}'
        ) from err
    if parsed.digest:
        raise CommandFailed("refusing to create a tag with a digest reference")
    query = {"repo": parsed.name, "tag": parsed.tag}
    call.daemon.call("POST", path_of("images", source, "/tag"), query)
    return 0


COMMAND = Command(tag, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", minimum=2, maximum=2, names="image")
