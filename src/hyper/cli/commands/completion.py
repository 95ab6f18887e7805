"""hyper completion: scripts for bash, zsh and fish."""

from hyper.cli.command import Command, CommandFailed, Invocation


def completion(call: Invocation) -> int:
    """Print the script of a shell."""
    from hyper.cli.shells import SCRIPTS

    shell = call.arguments[0]
    if shell not in SCRIPTS:
        raise CommandFailed(f'unknown shell "{shell}": use one of {", ".join(SCRIPTS)}')
    print(SCRIPTS[shell], end="")
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
