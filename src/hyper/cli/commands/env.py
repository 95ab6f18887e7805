"""hyper env: the line that makes docker clients speak to Hyper."""

from hyper.cli.command import Command, Invocation


def env(call: Invocation) -> int:
    """Print the DOCKER_HOST to export; does not need the daemon."""
    print(f"export DOCKER_HOST={call.address.text}")
    return 0


COMMAND = Command(
    env,
    maximum=0,
    description='Print the DOCKER_HOST to export; use it as: eval "$(hyper env)"',
)
