"""hyper ... prune: what nothing uses removed, after asking."""

import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, FILTER, Flag
from hyper.cli.usage_texts import PRUNE_FILTER_HELP
from hyper.sdk import answers

_FORCE = Flag("force", BOOL, "Do not prompt for confirmation", short="f")
_FILTER = Flag("filter", FILTER, PRUNE_FILTER_HELP)
_IMAGE_WARNING = "This will remove all dangling images."
_ALL_IMAGES_WARNING = (
    "This will remove all images without at least one container associated to them."
)
_VOLUME_WARNING = "This will remove anonymous local volumes not used by at least one container."
_ALL_VOLUMES_WARNING = "This will remove all local volumes not used by at least one container."


def _confirm(call: Invocation, warning: str) -> None:
    """Ask on stdout, unless --force. Raises CommandFailed, silent as docker is, at a no."""
    if call.options.on("force"):
        return
    sys.stdout.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() != "y":
        raise CommandFailed("", 0)


class _Pruned:
    """What was removed and freed, printed in docker's form."""

    def __init__(self) -> None:
        self.freed = 0

    def show(self, title: str, names: list[str]) -> None:
        if names:
            print(f"Deleted {title}:\n" + "\n".join(names) + "\n")

    def total(self) -> None:
        from hyper.core.units import human_size

        print(f"Total reclaimed space: {human_size(self.freed, 4)}")


def _containers(call: Invocation, pruned: _Pruned) -> None:
    answer = _post(call, "containers", call.options.filters(), pruned)
    pruned.show("Containers", answers.strings(answer, "ContainersDeleted"))


def _networks(call: Invocation, pruned: _Pruned) -> None:
    answer = _post(call, "networks", call.options.filters(), pruned)
    pruned.show("Networks", answers.strings(answer, "NetworksDeleted"))


def _volumes(call: Invocation, pruned: _Pruned, all_of_them: bool) -> None:
    filters = call.options.filters()
    if all_of_them:
        filters["all"] = [*filters.get("all", ()), "true"]
    answer = _post(call, "volumes", filters, pruned)
    pruned.show("Volumes", answers.strings(answer, "VolumesDeleted"))


def _images(call: Invocation, pruned: _Pruned) -> None:
    filters = call.options.filters()
    dangling = "false" if call.options.on("all") else "true"
    filters["dangling"] = [*filters.get("dangling", ()), dangling]
    answer = _post(call, "images", filters, pruned)
    lines = []
    for item in answers.objects(answer, "ImagesDeleted"):
        untagged = answers.text(item, "Untagged")
        lines.append(f"untagged: {untagged}" if untagged else f"deleted: {item.get('Deleted')}")
    pruned.show("Images", lines)


def _post(call: Invocation, what: str, filters: dict[str, list[str]], pruned: _Pruned) -> object:
    answer = call.daemon.call("POST", f"/{what}/prune", {"filters": filters})
    pruned.freed += answers.number(answer, "SpaceReclaimed")
    return answer


def prune_containers(call: Invocation) -> int:
    """Remove stopped containers."""
    _confirm(call, "This will remove all stopped containers.")
    pruned = _Pruned()
    _containers(call, pruned)
    pruned.total()
    return 0


def prune_images(call: Invocation) -> int:
    """Remove unused images."""
    _confirm(call, _ALL_IMAGES_WARNING if call.options.on("all") else _IMAGE_WARNING)
    pruned = _Pruned()
    _images(call, pruned)
    pruned.total()
    return 0


def prune_volumes(call: Invocation) -> int:
    """Remove unused volumes."""
    everything = call.options.on("all")
    _confirm(call, _ALL_VOLUMES_WARNING if everything else _VOLUME_WARNING)
    pruned = _Pruned()
    _volumes(call, pruned, everything)
    pruned.total()
    return 0


def prune_networks(call: Invocation) -> int:
    """Remove unused networks."""
    _confirm(call, "This will remove all custom networks not used by at least one container.")
    _networks(call, _Pruned())
    return 0


def prune_system(call: Invocation) -> int:
    """Remove what nothing uses: containers, networks, images, and volumes if asked."""
    everything, volumes = call.options.on("all"), call.options.on("volumes")
    lines = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        "all images without at least one container associated to them"
        if everything
        else "all dangling images",
    ]
    _confirm(call, "This will remove:\n" + "".join(f"  - {line}\n" for line in lines))
    pruned = _Pruned()
    _containers(call, pruned)
    _networks(call, pruned)
    if volumes:
        _volumes(call, pruned, all_of_them=False)
    _images(call, pruned)
    pruned.total()
    return 0


CONTAINERS = Command(prune_containers, "[OPTIONS]", maximum=0, flags=(_FILTER, _FORCE))
NETWORKS = Command(prune_networks, "[OPTIONS]", maximum=0, flags=(_FILTER, _FORCE))
IMAGES = Command(
    prune_images,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("all", BOOL, "Remove all unused images, not just dangling ones", short="a"),
        _FILTER,
        _FORCE,
    ),
)
VOLUMES = Command(
    prune_volumes,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("all", BOOL, "Remove all unused volumes, not just anonymous ones", short="a"),
        Flag("filter", FILTER, 'Provide filter values (e.g. "label=<label>")'),
        _FORCE,
    ),
)
SYSTEM = Command(
    prune_system,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("all", BOOL, "Remove all unused images not just dangling ones", short="a"),
        Flag("filter", FILTER, 'Provide filter values (e.g. "label=<key>=<value>")'),
        _FORCE,
        Flag("volumes", BOOL, "Prune anonymous volumes"),
    ),
)
