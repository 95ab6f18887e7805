"""hyper login and logout: credentials for registries, kept where docker keeps them."""

import os
import sys

from hyper.cli import credentials
from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.sdk import answers, jsontext

_INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def login(call: Invocation) -> int:
    """Check credentials with a registry and keep them."""
    server = credentials.server_of(call.arguments[0] if call.arguments else "")
    config = credentials.load_config()
    auth = _ask(call, server, config)
    auth["serveraddress"] = server
    answer = call.daemon.call("POST", "/auth", None, auth)
    token = answers.text(answer, "IdentityToken")
    if token:
        auth = {"identitytoken": token, "username": auth["username"], "serveraddress": server}
    _keep(auth, server, config)
    print(answers.text(answer, "Status") or "Login Succeeded")
    return 0


def _ask(call: Invocation, server: str, config: dict[str, object]) -> dict[str, str]:
    options = call.options
    user, password = options.text("username"), options.text("password")
    if options.on("password-stdin"):
        if password:
            raise CommandFailed("--password and --password-stdin are mutually exclusive")
        if not user:
            raise CommandFailed("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
    elif password:
        print(_INSECURE, file=sys.stderr)
    if user and password:
        return {"username": user, "password": password}
    if not os.isatty(0):
        known = credentials.find(server, config)
        if known and not user:
            return known
        raise CommandFailed("cannot perform an interactive login from a non-TTY device")
    import getpass

    user = user or input("Username: ").strip()
    password = password or getpass.getpass("Password: ")
    if not user or not password:
        raise CommandFailed("username and password are required")
    return {"username": user, "password": password}


def _keep(auth: dict[str, str], server: str, config: dict[str, object]) -> None:
    helper = credentials.helper_of(server, config)
    auths = config.setdefault("auths", {})
    assert isinstance(auths, dict)
    if helper:
        user, secret = auth.get("username", ""), auth.get("password", "")
        if auth.get("identitytoken"):
            user, secret = "<token>", auth["identitytoken"]
        entry = {"ServerURL": server, "Username": user, "Secret": secret}
        credentials.run_helper(helper, "store", jsontext.dumps(entry).encode())
        auths[server] = {}
    else:
        import binascii

        pair = f"{auth.get('username', '')}:{auth.get('password', '')}".encode()
        kept = {"auth": binascii.b2a_base64(pair, newline=False).decode()}
        if auth.get("identitytoken"):
            kept["identitytoken"] = auth["identitytoken"]
        auths[server] = kept
        print(_UNENCRYPTED.format(credentials.config_path()), file=sys.stderr)
    credentials.save_config(config)


def logout(call: Invocation) -> int:
    """Forget the credentials of a registry."""
    server = credentials.server_of(call.arguments[0] if call.arguments else "")
    config = credentials.load_config()
    auths = config.get("auths")
    known = isinstance(auths, dict) and server in auths
    helper = credentials.helper_of(server, config)
    print(f"Removing login credentials for {server}")
    if helper:
        credentials.run_helper(helper, "erase", server.encode())
    if isinstance(auths, dict) and known:
        del auths[server]
        credentials.save_config(config)
    return 0


COMMAND = Command(
    login,
    "[OPTIONS] [SERVER]",
    maximum=1,
    description="Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    flags=(
        Flag("password", TEXT, "Password or Personal Access Token (PAT)", short="p"),
        Flag("password-stdin", BOOL, "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("username", TEXT, "Username", short="u"),
    ),
)
LOGOUT = Command(
    logout,
    "[SERVER]",
    maximum=1,
    description="Log out from a registry.\n"
    "If no server is specified, the default is defined by the daemon.",
)
