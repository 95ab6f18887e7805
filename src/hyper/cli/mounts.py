"""-v, --mount and --tmpfs in the words of the API. Touches no file system."""

import os

from hyper.core.errors import InvalidArgument
from hyper.sdk.words import csv_fields

_BOOLEAN_FIELDS = {
    "readonly": "readonly",
    "ro": "readonly",
    "volume-nocopy": "volume-nocopy",
    "bind-nonrecursive": "bind-nonrecursive",
}
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_FIELDS = frozenset(
    (
        "type source target readonly consistency bind-propagation bind-nonrecursive bind-recursive "
        "volume-subpath image-subpath volume-nocopy volume-label volume-driver volume-opt "
        "tmpfs-size tmpfs-mode"
    ).split()
)


def split_volumes(words: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Return the binds (source:target[:options]) and the anonymous volumes of -v."""
    binds = []
    anonymous: dict[str, dict[str, str]] = {}
    for word in words:
        source, separator, rest = word.partition(":")
        if not separator:
            anonymous[word] = {}
            continue
        binds.append((os.path.abspath(source) if source.startswith(".") else source) + ":" + rest)
    return list(dict.fromkeys(binds)), anonymous  # docker names each once


def parse_tmpfs(words: list[str]) -> dict[str, str]:
    """Return path: options of --tmpfs."""
    return {word.partition(":")[0]: word.partition(":")[2] for word in words}


def parse_mount(text: str) -> dict[str, object]:
    """Return a --mount as the API's Mount. Raises InvalidArgument with docker's text."""
    fields: dict[str, str] = {"type": "volume"}
    many: dict[str, dict[str, str]] = {"volume-label": {}, "volume-opt": {}}
    for field in csv_fields(text.strip()):
        key, separator, value = field.partition("=")
        key = key.lower()
        key = _NAMES.get(key, key)
        if not separator:
            if key not in _BOOLEAN_FIELDS.values():
                raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if key not in _FIELDS:
            raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
        if key in many:
            name, _, item = value.partition("=")
            many[key][name] = item
        else:
            fields[key] = _boolean(key, value) if key in _BOOLEAN_FIELDS else value
    return _mount(fields, many)


def _boolean(key: str, value: str) -> str:
    if value.lower() in ("1", "true", "t"):
        return "true"
    if value.lower() in ("0", "false", "f"):
        return ""
    raise InvalidArgument(f"invalid value for {key}: {value}")


def _mount(fields: dict[str, str], many: dict[str, dict[str, str]]) -> dict[str, object]:
    kind = fields["type"].lower()
    if not fields.get("target"):
        raise InvalidArgument("target is required")
    used = {key.partition("-")[0] for key in fields if "-" in key}
    used |= {"volume" for items in many.values() if items}
    for other in sorted(used - {kind}):
        raise InvalidArgument(f"cannot mix '{other}-*' options with mount type '{kind}'")
    source = fields.get("source", "")
    if kind == "bind" and source.startswith("."):
        source = os.path.abspath(source)
    mount: dict[str, object] = {"Type": kind, "Target": fields["target"]}
    if source:
        mount["Source"] = source
    if fields.get("readonly"):
        mount["ReadOnly"] = True
    if fields.get("consistency"):
        mount["Consistency"] = fields["consistency"]
    for name, options in (
        ("BindOptions", _bind_options(fields)),
        ("VolumeOptions", _volume_options(fields, many)),
        ("TmpfsOptions", _tmpfs_options(fields)),
        ("ImageOptions", {"Subpath": fields["image-subpath"]} if "image-subpath" in fields else {}),
    ):
        if options:
            mount[name] = options
    return mount


def _bind_options(fields: dict[str, str]) -> dict[str, object]:
    options: dict[str, object] = {}
    if fields.get("bind-propagation"):
        options["Propagation"] = fields["bind-propagation"].lower()
    recursive = fields.get("bind-recursive", "enabled")
    if fields.get("bind-nonrecursive") or recursive == "disabled":
        options["NonRecursive"] = True
    elif recursive == "writable":
        options["ReadOnlyNonRecursive"] = True
    elif recursive == "readonly":
        if fields.get("bind-propagation", "") != "rprivate":
            raise InvalidArgument(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be "
                "specified in conjunction"
            )
        options["ReadOnlyForceRecursive"] = True
    elif recursive != "enabled":
        raise InvalidArgument(
            f'invalid value for bind-recursive: {recursive} (must be "enabled", "disabled", '
            '"writable", or "readonly")'
        )
    return options


def _volume_options(fields: dict[str, str], many: dict[str, dict[str, str]]) -> dict[str, object]:
    options: dict[str, object] = {}
    if fields.get("volume-nocopy"):
        options["NoCopy"] = True
    if many["volume-label"]:
        options["Labels"] = many["volume-label"]
    if fields.get("volume-subpath"):
        options["Subpath"] = fields["volume-subpath"]
    driver: dict[str, object] = {}
    if fields.get("volume-driver"):
        driver["Name"] = fields["volume-driver"]
    if many["volume-opt"]:
        driver["Options"] = many["volume-opt"]
    if driver:
        options["DriverConfig"] = driver
    return options


def _tmpfs_options(fields: dict[str, str]) -> dict[str, object]:
    options: dict[str, object] = {}
    if "tmpfs-size" in fields:
        from hyper.core.units import parse_size

        options["SizeBytes"] = parse_size(fields["tmpfs-size"])
    if "tmpfs-mode" in fields:
        try:
            options["Mode"] = int(fields["tmpfs-mode"], 8)
        except ValueError as err:
            raise InvalidArgument(f"invalid value for tmpfs-mode: {fields['tmpfs-mode']}") from err
    return options
