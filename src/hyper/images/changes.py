"""Dockerfile instructions that change an image's config, as `import --change` and `commit` take
them.

Owns the meaning of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL,
USER, VOLUME and WORKDIR; knows no files. Dockerfile reference,
https://docs.docker.com/reference/dockerfile/.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Sequence

from hyper.core import gojson
from hyper.core.errors import InvalidArgument
from hyper.core.signals import signal_number
from hyper.core.units import parse_duration
from hyper.images.manifest import Json

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_SHELL = ["/bin/sh", "-c"]


def apply(config: Json, instructions: Sequence[str]) -> None:
    """Change a config object (Docker's field names). Raises InvalidArgument with the line."""
    commanded = False
    for line in instructions:
        word, _, rest = line.strip().partition(" ")
        change = _CHANGES.get(word.upper())
        if change is None:
            raise InvalidArgument(f"{word.lower()} is not a valid change command")
        try:
            change(config, rest.strip())
        except ValueError as err:
            where = f"{line.strip()[:200]}: " if rest.strip() else ""
            raise InvalidArgument(f"{where}{err}") from err
        commanded = commanded or word.upper() == "CMD"
        if word.upper() == "ENTRYPOINT" and not commanded:
            config.pop("Cmd", None)  # it was another entrypoint's (moby dispatchers.go)


def command(config: Json, text: str) -> list[str]:
    """Return a command: a JSON list as it is, anything else through the image's shell."""
    if text.startswith("["):
        try:
            words = json.loads(gojson.text(text))
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return [*(config.get("Shell") or _SHELL), text]


def _pairs(text: str, name: str) -> list[tuple[str, str]]:
    """Return the pairs of KEY=value KEY2="v 2", or of the old form KEY value."""
    words = shlex.split(text, posix=True)
    if not words:
        raise ValueError(f"{name} requires at least one argument")
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value:
            raise ValueError(f"{name} must have two arguments")
        return [(key, value.strip())]
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise ValueError(
                f"Syntax error - can't find = in {key!r}. Must be of the form: name=value"
            )
    return [(key, value) for key, _, value in pairs]


def _env(config: Json, text: str) -> None:
    env: list[str] = list(config.get("Env") or [])
    for key, value in _pairs(text, "ENV"):
        env = [item for item in env if item.partition("=")[0] != key] + [f"{key}={value}"]
    config["Env"] = env


def _label(config: Json, text: str) -> None:
    config["Labels"] = (config.get("Labels") or {}) | dict(_pairs(text, "LABEL"))


def _cmd(config: Json, text: str) -> None:
    config["Cmd"] = command(config, text)


def _entrypoint(config: Json, text: str) -> None:
    config["Entrypoint"] = command(config, text)


def _expose(config: Json, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 0 < first <= last <= 65535:
            raise ValueError(f"invalid port: {word}")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    config["ExposedPorts"] = ports


def _volume(config: Json, text: str) -> None:
    paths = command(config, text) if text.startswith("[") else text.split()
    if not paths or not all(paths):
        raise ValueError("VOLUME specified can not be an empty string")
    config["Volumes"] = (config.get("Volumes") or {}) | {path: {} for path in paths}


def _workdir(config: Json, text: str) -> None:
    if not text:
        raise ValueError("WORKDIR requires exactly one argument")
    config["WorkingDir"] = posixpath.normpath(
        posixpath.join("/", config.get("WorkingDir") or "/", text)
    )


def _plain(key: str) -> Callable[[Json, str], None]:
    def change(config: Json, text: str) -> None:
        if not text:
            raise ValueError("requires exactly one argument")
        config[key] = text

    return change


def _onbuild(config: Json, text: str) -> None:
    if text.partition(" ")[0].upper() in ("ONBUILD", "FROM", "MAINTAINER", ""):
        raise ValueError("not allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _shell(config: Json, text: str) -> None:
    words = json.loads(gojson.text(text))
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise ValueError("SHELL requires the arguments to be in JSON form")
    config["Shell"] = words


def _stop_signal(config: Json, text: str) -> None:
    signal_number(text)
    _plain("StopSignal")(config, text)


def _healthcheck(config: Json, text: str) -> None:
    check: Json = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        key, _, value = option[2:].partition("=")
        text = text.strip()
        if key == "retries":
            check["Retries"] = int(value)
        elif key in _INTERVALS:
            check[_INTERVALS[key]] = int(parse_duration(value) * 1e9)
        else:
            raise ValueError(f"unknown flag: {key}")
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE" and not rest:
        check["Test"] = ["NONE"]
    elif kind.upper() == "CMD" and rest:
        words = command({}, rest.strip())
        plain = words[:2] == _SHELL and not rest.strip().startswith("[")
        check["Test"] = ["CMD-SHELL", words[2]] if plain else ["CMD", *words]
    else:
        raise ValueError("Unknown type in HEALTHCHECK (try CMD)")
    config["Healthcheck"] = check


_INTERVALS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_CHANGES: dict[str, Callable[[Json, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _plain("User"),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
