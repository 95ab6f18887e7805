"""hyper rmi: image names removed, and images that have none left."""

from hyper.cli.command import Command, Invocation
from hyper.cli.each import each_of
from hyper.cli.flags import BOOL, STRINGS, Flag
from hyper.sdk import answers
from hyper.sdk.http1 import path_of


def remove(call: Invocation) -> int:
    """Remove images."""
    options = call.options
    query = {
        "force": options.on("force"),
        "noprune": options.on("no-prune"),
        "platforms": options.items("platform"),
    }

    def act(name: str) -> None:
        for item in answers.objects(call.daemon.call("DELETE", path_of("images", name), query)):
            if "Deleted" in item:
                print(f"Deleted: {item['Deleted']}")
            else:
                print(f"Untagged: {answers.text(item, 'Untagged')}")

    return each_of(call.arguments, act, lambda name: None)


COMMAND = Command(
    remove,
    "[OPTIONS] IMAGE [IMAGE...]",
    minimum=1,
    names="image",
    flags=(
        Flag("force", BOOL, "Force removal of the image", short="f"),
        Flag("no-prune", BOOL, "Do not delete untagged parents"),
        Flag("platform", STRINGS, "Remove only the given platform variant"),
    ),
)
