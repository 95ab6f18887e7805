"""Registry credentials in ~/.docker/config.json and its helpers (docker-credential-*). Asks nobody.

Specification: docker/cli docs, "Credential stores" and "Configuration files".
"""

import os

from hyper.core.errors import HyperError, InvalidArgument, Unavailable
from hyper.sdk import jsontext

HUB_SERVER = "https://index.docker.io/v1/"


def config_path() -> str:
    """Return the path of the client's configuration."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return os.path.join(directory, "config.json")


def load_config() -> dict[str, object]:
    """Return the client's configuration, empty when there is none. Raises InvalidArgument."""
    try:
        with open(config_path(), encoding="utf-8") as source:
            value = jsontext.loads(source.read())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidArgument(f"Error loading config file: {config_path()}: {err}") from err
    return value if isinstance(value, dict) else {}


def save_config(config: dict[str, object]) -> None:
    """Replace the client's configuration, for its owner only."""
    import json

    path = config_path()
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(config, target, indent="\t")
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, os.path.realpath(path))


def server_of(domain: str) -> str:
    """Return the name under which credentials for the registry at `domain` are kept."""
    return HUB_SERVER if domain in ("docker.io", "index.docker.io", "") else domain


def find(server: str, config: dict[str, object]) -> dict[str, str]:
    """Return the credentials for `server` in the form of AuthConfig, empty when there are none."""
    helper = helper_of(server, config)
    if helper:
        return _ask_helper(helper, server)
    auths = config.get("auths")
    for name, entry in auths.items() if isinstance(auths, dict) else ():
        if isinstance(entry, dict) and (name == server or _host(name) == _host(server)):
            return _decode(server, entry)
    return {}


def _host(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def helper_of(server: str, config: dict[str, object]) -> str:
    """Return the name of the credential helper for `server`, "" when the file itself keeps it."""
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict) and helpers.get(server):
        return str(helpers[server])
    return str(config.get("credsStore") or "")


def _decode(server: str, entry: dict[str, object]) -> dict[str, str]:
    found = {
        name: str(entry[name])
        for name in ("username", "password", "identitytoken", "registrytoken")
        if entry.get(name)
    }
    if entry.get("auth"):
        import binascii

        try:
            text = binascii.a2b_base64(str(entry["auth"])).decode("utf-8", "replace")
        except binascii.Error as err:
            raise InvalidArgument(f"{config_path()}: bad auth of {server}") from err
        found["username"], _, password = text.partition(":")
        found["password"] = password.strip("\0")
    if found:
        found["serveraddress"] = server
    return found


def _ask_helper(helper: str, server: str) -> dict[str, str]:
    try:
        answer = jsontext.loads(run_helper(helper, "get", server.encode()))
    except HyperError:
        return {}  # helpers fail when they have nothing; the registry will say what it thinks
    if not isinstance(answer, dict):
        return {}
    user, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    if user == "<token>":
        return {"identitytoken": secret, "serveraddress": server}
    return {"username": user, "password": secret, "serveraddress": server}


def run_helper(helper: str, verb: str, given: bytes) -> bytes:
    """Return what docker-credential-HELPER answers. Raises Unavailable.

    Not through host/process.py, which is the daemon's.
    """
    program = f"docker-credential-{helper}"
    given_reader, given_writer = os.pipe()
    said_reader, said_writer = os.pipe()
    try:
        pid = os.posix_spawnp(
            program,
            [program, verb],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, given_reader, 0),
                (os.POSIX_SPAWN_DUP2, said_writer, 1),
            ],
        )
    except OSError as err:
        os.close(given_writer)
        os.close(said_reader)
        raise Unavailable(f"cannot run {program}: {(err.strerror or str(err)).lower()}") from err
    finally:
        os.close(given_reader)
        os.close(said_writer)
    with os.fdopen(given_writer, "wb") as target:
        target.write(given)  # credentials are far smaller than a pipe
    with os.fdopen(said_reader, "rb") as source:
        said = source.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        text = said.decode("utf-8", "replace").strip()
        raise Unavailable(f"{program} {verb} failed: {text or f'status {status}'}")
    return said


def encode(auth: dict[str, str]) -> str:
    """Return credentials as X-Registry-Auth carries them (base64url of JSON)."""
    return _base64(auth)


def _base64(value: object) -> str:
    import binascii

    text = binascii.b2a_base64(jsontext.dumps(value).encode(), newline=False).decode()
    return text.replace("+", "-").replace("/", "_")


def auth_headers(domain: str) -> tuple[tuple[str, str], ...]:
    """Return the headers with the user's credentials for the registry at `domain`, if any."""
    found = find(server_of(domain), load_config())
    return (("X-Registry-Auth", encode(found)),) if found else ()


def config_headers() -> tuple[tuple[str, str], ...]:
    """Return the header with the user's credentials for every registry, as `docker build` sends."""
    config = load_config()
    servers: dict[str, None] = {}
    for name in ("auths", "credHelpers"):
        entries = config.get(name)
        servers |= dict.fromkeys(entries if isinstance(entries, dict) else ())
    found = {server: auth for server in servers if (auth := find(server, config))}
    return (("X-Registry-Config", _base64(found)),) if found else ()
