"""Owns what `docker logs --details` shows before each line: attributes chosen by log options.

moby daemon/logger/loginfo.go, ExtraAttributes; only the driver json-file has them.
"""

import re
from urllib.parse import quote_plus

from hyper.core.ids import short
from hyper.engine.views import ContainerView


def log_details(view: ContainerView) -> bytes:
    """Return the details of a container's lines, without the space that follows them."""
    if view.spec.log.driver != "json-file":
        return b""
    options = dict(view.spec.log.options)
    labels = dict(view.spec.labels)
    variables = dict(entry.partition("=")[::2] for entry in view.command.env)
    shown = _chosen(labels, options.get("labels", ""), options.get("labels-regex", ""))
    shown |= _chosen(variables, options.get("env", ""), options.get("env-regex", ""))
    if options.get("tag"):
        shown["tag"] = _tag(options["tag"], view)
    pairs = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(shown.items()))
    return ",".join(pairs).encode()


def _chosen(values: dict[str, str], names: str, pattern: str) -> dict[str, str]:
    wanted = set(names.split(","))
    return {
        name: value
        for name, value in values.items()
        if name in wanted or (pattern and re.search(pattern, name))
    }


def _tag(template: str, view: ContainerView) -> str:
    """Fill in a tag (moby daemon/logger/templates; create refuses other fields)."""
    fields = {
        "ID": short(view.id),
        "FullID": view.id,
        "Name": view.name,
        "ImageID": short(view.spec.image_id),
        "ImageFullID": view.spec.image_id,
        "ImageName": view.spec.image,
        "DaemonName": "hyper",
    }
    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", lambda found: fields[found[1]], template)
