"""Owns what older clients get: without what Docker put into its answers, with what it took out."""

from typing import Any

from hyper.schema.networks import PREDEFINED_NETWORKS

JSON = dict[str, Any]
Version = tuple[int, int]

# The container that a step of the old builder ran; of a pulled image nothing is known of it.
_NO_CONTAINER: JSON = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def image(shown: JSON, version: Version) -> JSON:
    """Return an inspected image as a client of `version` knows it."""
    if version < (1, 45):
        shown |= {"Container": "", "ContainerConfig": _NO_CONTAINER}
    if version < (1, 50):
        shown["Config"] = _NO_CONTAINER | shown["Config"]
    return image_summary(shown, version)


def image_summary(shown: JSON, version: Version) -> JSON:
    """Return an image of a list as a client of `version` knows it."""
    if version < (1, 44):
        shown["VirtualSize"] = shown["Size"]
    return shown


def container(shown: JSON, version: Version) -> JSON:
    """Return an inspected container as a client of `version` knows it."""
    if version < (1, 45):
        # Its short id was an alias of every container on a network of the user's.
        for name, endpoint in shown["NetworkSettings"]["Networks"].items():
            if name not in PREDEFINED_NETWORKS:
                endpoint["Aliases"] = [*(endpoint["Aliases"] or ()), shown["Id"][:12]]
    return shown


def container_summary(shown: JSON, version: Version) -> JSON:
    """Return a container of a list as a client of `version` knows it."""
    if version < (1, 46):
        del shown["HostConfig"]["Annotations"]
    return shown


def info(shown: JSON, version: Version) -> JSON:
    """Return what is known of the daemon as a client of `version` knows it."""
    if version < (1, 25):
        options = shown["SecurityOptions"]
        shown["SecurityOptions"] = [text.partition(",")[0][len("name=") :] for text in options]
    return shown


def usage(shown: JSON, version: Version) -> JSON:
    """Return the disk usage as a client of `version` knows it."""
    if version < (1, 42):
        shown["BuilderSize"] = 0
    return shown
