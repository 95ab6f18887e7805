"""Owns the fields that only older clients get: those Docker took out of its answers, by version."""

JSON = dict[str, object]
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
    return image_summary(shown, version)


def image_summary(shown: JSON, version: Version) -> JSON:
    """Return an image of a list as a client of `version` knows it."""
    if version < (1, 44):
        shown["VirtualSize"] = shown["Size"]
    return shown


def usage(shown: JSON, version: Version) -> JSON:
    """Return the disk usage as a client of `version` knows it."""
    if version < (1, 42):
        shown["BuilderSize"] = 0
    return shown
