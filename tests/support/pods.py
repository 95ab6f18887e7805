"""Pod documents of tests: made as data, given to `hyper pod` on its standard input."""

import json
from collections.abc import Callable

from tests.support.daemon import Result

Hyper = Callable[..., Result]
BOX = "busybox"


def container(name: str, script: str, **fields: object) -> dict[str, object]:
    """Return a container of a document that runs a shell script."""
    return {"name": name, "image": BOX, "command": ["sh", "-c", script], **fields}


def pod(hyper: Hyper, *options: str, status: int | None = 0, **document: object) -> Result:
    """Create and start a pod; `options` are those of pod run."""
    arguments = ("pod", "run", *(options or ("-d",)), "-f", "-")
    return hyper(*arguments, input=json.dumps(document), status=status)


def inspect(hyper: Hyper, name: str) -> dict[str, object]:
    """Return what is known of a pod."""
    found: dict[str, object] = json.loads(hyper("pod", "inspect", name).stdout)[0]
    return found


def containers(hyper: Hyper, name: str) -> dict[str, dict[str, object]]:
    """Return the containers of a pod by their name in it."""
    listed = inspect(hyper, name)["Containers"]
    assert isinstance(listed, list)
    return {item["NameInPod"]: item for item in listed}
