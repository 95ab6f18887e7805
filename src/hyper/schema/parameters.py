"""Owns what requests may carry that does not mean what it means to Docker: parameters of the query
and fields of bodies that no table of fields has. All others are honoured; a test asks each.
"""

from dataclasses import dataclass

from hyper.schema.fields import Support


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation, or a field of its body by its path. `note` says why."""

    operation: str
    name: str
    support: Support
    note: str


# What inspect shows of a container's place on a network; dockerd reads none of it either.
_STATE = (
    "EndpointSettings: NetworkID, EndpointID, Gateway, IPAddress, IPPrefixLen, IPv6Gateway, "
    "GlobalIPv6Address, GlobalIPv6PrefixLen, DNSNames"
)
_ONE_PLATFORM = "the store keeps one platform of each image"
_SAME = "as with dockerd:"

PARAMETERS = (
    Parameter(
        "ContainerStart",
        "detachKeys",
        Support.DIFFERS,
        f"no effect, {_SAME} those of attach count",
    ),
    Parameter(
        "ContainerStart", "checkpoint", Support.REFUSED, "Hyper makes no checkpoints of containers"
    ),
    Parameter(
        "ContainerCreate",
        "HostConfig.Mounts[].Consistency",
        Support.DIFFERS,
        f"no effect, {_SAME} it is for Docker Desktop",
    ),
    *(
        Parameter(operation, _STATE, Support.DIFFERS, f"no effect, {_SAME} they are state")
        for operation in ("ContainerCreate", "NetworkConnect")
    ),
    Parameter(
        "ContainerUpdate",
        "Devices, Init, OomKillDisable, Ulimits",
        Support.REFUSED,
        "are of a container's start: create it anew (dockerd takes no notice of them)",
    ),
    Parameter("ImageList", "digests", Support.DIFFERS, "no effect: digests are always shown"),
    Parameter("ImageList", "manifests", Support.REFUSED, _ONE_PLATFORM),
    Parameter("ImageInspect", "manifests", Support.REFUSED, _ONE_PLATFORM),
    *(
        Parameter(operation, name, Support.DIFFERS, f"another than the image's is 404: {why}")
        for operation, name, why in (
            ("ImageInspect", "platform", _ONE_PLATFORM),
            ("ImageHistory", "platform", _ONE_PLATFORM),
            ("ImagePush", "platform", _ONE_PLATFORM),
            ("ImageGet", "platform", _ONE_PLATFORM),
            ("ImageGetAll", "platform", _ONE_PLATFORM),
            ("ImageDelete", "platforms", _ONE_PLATFORM),
        )
    ),
    Parameter(
        "ImageDelete",
        "force",
        Support.DIFFERS,
        "an image of a stopped container loses its names and stays until the container is removed",
    ),
    Parameter(
        "BuildPrune",
        "keep-storage, reserved-space, max-used-space, min-free-space, all, filters",
        Support.DIFFERS,
        "no effect: no build leaves anything",
    ),
    Parameter("SystemAuth", "email", Support.DIFFERS, f"no effect, {_SAME} it is obsolete"),
    Parameter("NetworkInspect", "verbose", Support.DIFFERS, "no effect: what it adds is a swarm's"),
    Parameter("VolumeCreate", "ClusterVolumeSpec", Support.REFUSED, "Hyper does not form swarms"),
)
