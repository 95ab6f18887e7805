"""Pulling an image through the daemon, for pull, run and create. Draws with progress.py."""

from hyper.cli import reference
from hyper.cli.progress import ProgressDisplay
from hyper.sdk.daemon import Daemon


def pull(
    daemon: Daemon, image: reference.Reference, platform: str, display: ProgressDisplay
) -> None:
    """Pull `image`. Raises ApiError, CommandFailed."""
    from hyper.cli.credentials import auth_headers

    response = daemon.open(
        "POST",
        "/images/create",
        {"fromImage": image.name, "tag": image.digest or image.tag, "platform": platform},
        headers=auth_headers(image.domain),
    )
    display.show_all(response.json_stream())
    response.close()


def pull_for_container(daemon: Daemon, image: str, platform: str, quiet: bool) -> None:
    """Pull the image a container is to be made from; told and drawn on stderr."""
    parsed = reference.parse(image, "latest")
    pull(daemon, parsed, platform, ProgressDisplay(2, quiet))


def announce_missing(image: str, quiet: bool) -> None:
    """Say that `image` has to be pulled first."""
    if quiet:
        return
    import sys

    parsed = reference.parse(image, "latest")
    print(f"Unable to find image '{parsed.name}{parsed.suffix}' locally", file=sys.stderr)
