"""hyper save: images as a tar archive."""

from hyper.cli.archives import FILE_FLAG, save_stream
from hyper.cli.command import Command, Invocation
from hyper.cli.flags import TEXT, Flag


def save(call: Invocation) -> int:
    """Write images to a file or to stdout."""
    query: dict[str, object] = {"names": call.arguments}
    if call.options.text("platform"):
        from hyper.cli.values import platform_object

        query["platform"] = platform_object(call.options.text("platform"))
    target = call.options.text("output")
    save_stream(target, lambda: call.daemon.open("GET", "/images/get", query), "save image")
    return 0


COMMAND = Command(
    save,
    "[OPTIONS] IMAGE [IMAGE...]",
    minimum=1,
    names="image",
    flags=(FILE_FLAG, Flag("platform", TEXT, "Save only the given platform variant")),
)
