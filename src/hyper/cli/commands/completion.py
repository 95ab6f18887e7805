"""hyper completion: scripts for bash, zsh and fish, made from the tables of commands and flags.

Names of containers, images, ... are asked for when they are needed: `hyper __complete KIND`.
"""

from hyper.cli.command import Command, CommandFailed, Invocation

SHELLS = ("bash", "zsh", "fish")


def completion(call: Invocation) -> int:
    """Print the script of a shell."""
    shell = call.arguments[0]
    if shell not in SHELLS:
        raise CommandFailed(f'unknown shell "{shell}": use one of {", ".join(SHELLS)}')
    from hyper.cli.completions import script

    print(script(shell), end="")
    return 0


COMMAND = Command(
    completion,
    "bash|zsh|fish",
    minimum=1,
    maximum=1,
    names="shell",
    description="Generate the completion script for a shell.\n\n"
    "bash:  source <(hyper completion bash)\n"
    'zsh:   hyper completion zsh > "${fpath[1]}/_hyper"\n'
    "fish:  hyper completion fish > ~/.config/fish/completions/hyper.fish",
)
