"""Owns which fields of a create body came with which version of the API: older clients do not have
them, so as with dockerd (moby server/router/container, postContainersCreate) they say nothing.
"""

from collections.abc import Mapping, Sequence

from hyper.core.gojson import GoObject

Version = tuple[int, int]

# "[]" is an item of an array, "{}" a value of a map.
SINCE: tuple[tuple[Version, str], ...] = (
    ((1, 25), "HostConfig.AutoRemove"),  # before, the client removed it
    ((1, 40), "HostConfig.Mounts[].BindOptions.NonRecursive"),
    ((1, 41), "HostConfig.CgroupnsMode"),
    ((1, 42), "HostConfig.ConsoleSize"),
    ((1, 42), "HostConfig.Mounts[].BindOptions.CreateMountpoint"),
    ((1, 43), "HostConfig.Annotations"),
    ((1, 44), "Healthcheck.StartInterval"),
    ((1, 44), "HostConfig.Mounts[].BindOptions.ReadOnlyForceRecursive"),
    ((1, 44), "HostConfig.Mounts[].BindOptions.ReadOnlyNonRecursive"),
    ((1, 44), "NetworkingConfig.EndpointsConfig{}.MacAddress"),
    ((1, 45), "HostConfig.Mounts[].VolumeOptions.Subpath"),
    ((1, 46), "HostConfig.Mounts[].TmpfsOptions.Options"),
    ((1, 48), "NetworkingConfig.EndpointsConfig{}.GwPriority"),
)


def without_later(body: Mapping[str, object], version: Version) -> Mapping[str, object]:
    """Return a create body as a client of `version` means it."""
    for since, path in SINCE:
        if version < since:
            body = _without(body, path.replace("[]", ".[]").replace("{}", ".{}").split("."))
    return body


def _without(value: Mapping[str, object], path: Sequence[str]) -> GoObject:
    """Return a copy of an object, and of those on the path, without the field at its end."""
    step, rest = path[0], path[1:]
    copy = GoObject(value)
    for name in tuple(copy):
        if step == "{}" or name.lower() == step.lower():
            if rest:
                copy[name] = _within(copy[name], rest)
            else:
                del copy[name]
    return copy


def _within(value: object, path: Sequence[str]) -> object:
    if path[0] == "[]" and isinstance(value, list):
        return [_within(item, path[1:]) for item in value]
    return _without(value, path) if isinstance(value, dict) and path[0] != "[]" else value
