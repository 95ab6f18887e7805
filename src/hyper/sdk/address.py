"""Where the daemon listens: HYPER_HOST, DOCKER_HOST or this user's own socket. Opens nothing."""

import os

from hyper.core.errors import InvalidArgument


class Address:
    """A daemon's address: a unix socket's `path`, or `host` and `port`.

    `ours` says that nobody named an address, so the daemon may be started on first use.
    """

    __slots__ = ("host", "ours", "path", "port", "text")

    def __init__(
        self, text: str, path: str, host: str = "", port: int = 0, ours: bool = False
    ) -> None:
        self.text = text
        self.path = path
        self.host = host
        self.port = port
        self.ours = ours


def run_dir() -> str:
    """Return the daemon's default runtime directory for this user (created by whoever needs it)."""
    user_id = os.getuid()
    if user_id == 0:
        return "/run/hyper"
    base = os.environ.get("XDG_RUNTIME_DIR")
    return f"{base}/hyper" if base else f"/tmp/hyper-{user_id}"


def default_socket() -> str:
    """Return the path of the default socket for this user."""
    return run_dir() + "/hyper.sock"


def resolve(given: str = "") -> Address:
    """Return the daemon's address: `given` (--host), else HYPER_HOST, else DOCKER_HOST, else the
    default.

    Raises InvalidArgument.
    """
    text = given or os.environ.get("HYPER_HOST") or os.environ.get("DOCKER_HOST")
    if text:
        return parse(text)
    path = default_socket()
    return Address(f"unix://{path}", path, ours=True)


def parse(text: str) -> Address:
    """Return the address `text` means: unix://PATH, tcp://HOST:PORT, http://HOST:PORT or a path.

    Raises InvalidArgument.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("unix", text) if text.startswith("/") else ("tcp", text)
    if scheme == "unix":
        path = rest or default_socket()
        return Address(f"unix://{path}", path, ours=path == default_socket())
    if scheme not in ("tcp", "http"):
        raise InvalidArgument(f"unable to parse docker host `{text}`: use unix:// or tcp://")
    host, _, port = rest.rstrip("/").rpartition(":")
    if not host:
        host, port = port, "2375"
    if not port.isdigit():
        raise InvalidArgument(f"unable to parse docker host `{text}`: no port number")
    return Address(f"tcp://{rest}", "", host.strip("[]"), int(port))
