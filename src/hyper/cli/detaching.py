"""Which keys detach: --detach-keys, else detachKeys of the client's configuration, else
docker's."""

from hyper.cli.flags import Options
from hyper.cli.terminal import DEFAULT_DETACH_KEYS, parse_detach_keys


def detach_keys(options: Options) -> bytes:
    """Return the detach keys as bytes. Raises InvalidArgument."""
    text = options.text("detach-keys")
    if not text:
        from hyper.cli.credentials import load_config

        text = str(load_config().get("detachKeys") or DEFAULT_DETACH_KEYS)
    return parse_detach_keys(text)
