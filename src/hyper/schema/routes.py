"""Owns the route table: every endpoint of Docker's specification and Hyper's own, as data.

The server dispatches by it, the documentation is made from it, a test compares it with the
specification. A route without a handler is refused with its note.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hyper.schema.fields import Support

MINIMUM_VERSION = "1.24"
MAXIMUM_VERSION = "1.50"
OWN_PREFIX = "/hyper/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. `handler` is module.function below api/handlers; `status` that of success.

    In a path {name} also matches slashes, because names of images have them.
    """

    method: str
    path: str
    operation: str
    handler: str
    status: int = 200
    support: Support = Support.WORKS
    note: str = ""


def _refused(method: str, path: str, operation: str, why: str) -> Route:
    return Route(method, path, operation, "", 501, Support.REFUSED, why)


def _differs(method: str, path: str, operation: str, handler: str, status: int, how: str) -> Route:
    return Route(method, path, operation, handler, status, Support.DIFFERS, how)


_NO_PLUGINS = "Hyper has no plugins: volumes, networks and log drivers are built in"
_NO_BUILD = "building images is not implemented yet: build elsewhere and load or pull the image"
_NETWORK_KINDS = (
    "driver bridge with one IPv4 subnet and, with EnableIPv6, one IPv6 subnet; none of IPv6 alone "
    "(EnableIPv4 false is refused), and none on the network bridge; options are those for the MTU, "
    "enable_icc, host_binding_ipv4 and enable_ip_masquerade=true, others are refused"
)

_CONTAINERS = (
    Route("GET", "/containers/json", "ContainerList", "containers.list_all"),
    Route("POST", "/containers/create", "ContainerCreate", "containers.create", 201),
    Route("GET", "/containers/{id}/json", "ContainerInspect", "containers.inspect"),
    Route("GET", "/containers/{id}/top", "ContainerTop", "containers_io.top"),
    Route("GET", "/containers/{id}/logs", "ContainerLogs", "containers_io.logs"),
    Route("GET", "/containers/{id}/changes", "ContainerChanges", "files.changes"),
    Route("GET", "/containers/{id}/export", "ContainerExport", "files.export"),
    Route("GET", "/containers/{id}/stats", "ContainerStats", "containers_io.stats"),
    Route("POST", "/containers/{id}/resize", "ContainerResize", "containers_io.resize"),
    Route("POST", "/containers/{id}/start", "ContainerStart", "containers.start", 204),
    Route("POST", "/containers/{id}/stop", "ContainerStop", "containers.stop", 204),
    Route("POST", "/containers/{id}/restart", "ContainerRestart", "containers.restart", 204),
    Route("POST", "/containers/{id}/kill", "ContainerKill", "containers.kill", 204),
    Route("POST", "/containers/{id}/update", "ContainerUpdate", "containers.update"),
    Route("POST", "/containers/{id}/rename", "ContainerRename", "containers.rename", 204),
    Route("POST", "/containers/{id}/pause", "ContainerPause", "containers.pause", 204),
    Route("POST", "/containers/{id}/unpause", "ContainerUnpause", "containers.unpause", 204),
    Route("POST", "/containers/{id}/attach", "ContainerAttach", "containers_io.attach", 101),
    Route(
        "GET",
        "/containers/{id}/attach/ws",
        "ContainerAttachWebsocket",
        "containers_io.attach_websocket",
        101,
    ),
    Route("POST", "/containers/{id}/wait", "ContainerWait", "containers.wait"),
    Route("DELETE", "/containers/{id}", "ContainerDelete", "containers.remove", 204),
    Route("HEAD", "/containers/{id}/archive", "ContainerArchiveInfo", "files.stat"),
    Route("GET", "/containers/{id}/archive", "ContainerArchive", "files.read"),
    _differs(
        "PUT",
        "/containers/{id}/archive",
        "PutContainerArchive",
        "files.write",
        200,
        "copyUIDGID looks the container's user up in the container, not on the host",
    ),
    Route("POST", "/containers/prune", "ContainerPrune", "containers.prune"),
    Route("POST", "/containers/{id}/exec", "ContainerExec", "execs.create", 201),
    Route("POST", "/exec/{id}/start", "ExecStart", "execs.start"),
    Route("POST", "/exec/{id}/resize", "ExecResize", "execs.resize"),
    Route("GET", "/exec/{id}/json", "ExecInspect", "execs.inspect"),
)

_IMAGES = (
    Route("GET", "/images/json", "ImageList", "images.list_all"),
    _refused("POST", "/build", "ImageBuild", _NO_BUILD),
    Route("POST", "/build/prune", "BuildPrune", "system.prune_builds", note="nothing is ever kept"),
    Route("POST", "/images/create", "ImageCreate", "registries.create"),
    Route("GET", "/images/{name}/json", "ImageInspect", "images.inspect"),
    Route("GET", "/images/{name}/history", "ImageHistory", "images.history"),
    Route("POST", "/images/{name}/push", "ImagePush", "registries.push"),
    Route("POST", "/images/{name}/tag", "ImageTag", "images.tag", 201),
    Route("DELETE", "/images/{name}", "ImageDelete", "images.remove"),
    _refused("GET", "/images/search", "ImageSearch", "Hyper asks no registry for a list of images"),
    Route("POST", "/images/prune", "ImagePrune", "images.prune"),
    Route("POST", "/commit", "ImageCommit", "files.commit", 201),
    Route("GET", "/images/{name}/get", "ImageGet", "images.save_one"),
    Route("GET", "/images/get", "ImageGetAll", "images.save_many"),
    Route("POST", "/images/load", "ImageLoad", "images.load"),
    Route("GET", "/distribution/{name}/json", "DistributionInspect", "registries.distribution"),
)

_SYSTEM = (
    Route("POST", "/auth", "SystemAuth", "registries.login"),
    Route("GET", "/info", "SystemInfo", "system.info"),
    Route("GET", "/version", "SystemVersion", "system.version"),
    Route("GET", "/_ping", "SystemPing", "system.ping"),
    Route("HEAD", "/_ping", "SystemPingHead", "system.ping"),
    Route("GET", "/events", "SystemEvents", "system.events"),
    Route("GET", "/system/df", "SystemDataUsage", "system.usage"),
    _refused("POST", "/session", "Session", _NO_BUILD),
)

_VOLUMES = (
    Route("GET", "/volumes", "VolumeList", "volumes.list_all"),
    Route("POST", "/volumes/create", "VolumeCreate", "volumes.create", 201),
    Route("GET", "/volumes/{name}", "VolumeInspect", "volumes.inspect"),
    Route("PUT", "/volumes/{name}", "VolumeUpdate", "swarm.outside", 503),
    Route("DELETE", "/volumes/{name}", "VolumeDelete", "volumes.remove", 204),
    Route("POST", "/volumes/prune", "VolumePrune", "volumes.prune"),
)

_NETWORKS = (
    Route("GET", "/networks", "NetworkList", "networks.list_all"),
    Route("GET", "/networks/{id}", "NetworkInspect", "networks.inspect"),
    Route("DELETE", "/networks/{id}", "NetworkDelete", "networks.remove", 204),
    _differs("POST", "/networks/create", "NetworkCreate", "networks.create", 201, _NETWORK_KINDS),
    Route("POST", "/networks/{id}/connect", "NetworkConnect", "networks.connect"),
    Route("POST", "/networks/{id}/disconnect", "NetworkDisconnect", "networks.disconnect"),
    Route("POST", "/networks/prune", "NetworkPrune", "networks.prune"),
)

_PLUGINS = (
    Route("GET", "/plugins", "PluginList", "plugins.list_all", note="always empty"),
    _refused("GET", "/plugins/privileges", "GetPluginPrivileges", _NO_PLUGINS),
    _refused("POST", "/plugins/pull", "PluginPull", _NO_PLUGINS),
    Route("GET", "/plugins/{name}/json", "PluginInspect", "plugins.missing", note="always 404"),
    Route("DELETE", "/plugins/{name}", "PluginDelete", "plugins.missing", note="always 404"),
    Route("POST", "/plugins/{name}/enable", "PluginEnable", "plugins.missing", note="always 404"),
    Route("POST", "/plugins/{name}/disable", "PluginDisable", "plugins.missing", note="always 404"),
    _refused("POST", "/plugins/{name}/upgrade", "PluginUpgrade", _NO_PLUGINS),
    _refused("POST", "/plugins/create", "PluginCreate", _NO_PLUGINS),
    Route("POST", "/plugins/{name}/push", "PluginPush", "plugins.missing", note="always 404"),
    Route("POST", "/plugins/{name}/set", "PluginSet", "plugins.missing", note="always 404"),
)

# Answered as by an engine that is not in a swarm.
_SWARM_OPERATIONS = """
    GET /nodes NodeList outside
    GET /nodes/{id} NodeInspect outside
    DELETE /nodes/{id} NodeDelete outside
    POST /nodes/{id}/update NodeUpdate update_node
    GET /swarm SwarmInspect outside
    POST /swarm/leave SwarmLeave leave
    POST /swarm/update SwarmUpdate update_swarm
    GET /swarm/unlockkey SwarmUnlockkey outside
    POST /swarm/unlock SwarmUnlock outside
    GET /services ServiceList outside
    POST /services/create ServiceCreate outside
    GET /services/{id} ServiceInspect outside
    DELETE /services/{id} ServiceDelete outside
    POST /services/{id}/update ServiceUpdate update_service
    GET /services/{id}/logs ServiceLogs logs
    GET /tasks TaskList outside
    GET /tasks/{id} TaskInspect outside
    GET /tasks/{id}/logs TaskLogs logs
    GET /secrets SecretList outside
    POST /secrets/create SecretCreate outside
    GET /secrets/{id} SecretInspect outside
    DELETE /secrets/{id} SecretDelete outside
    POST /secrets/{id}/update SecretUpdate update_secret
    GET /configs ConfigList outside
    POST /configs/create ConfigCreate outside
    GET /configs/{id} ConfigInspect outside
    DELETE /configs/{id} ConfigDelete outside
    POST /configs/{id}/update ConfigUpdate update_config
"""
_NO_SWARM = "Hyper does not form swarms"


def _swarm() -> Iterator[Route]:
    for line in _SWARM_OPERATIONS.split("\n"):
        if words := line.split():
            method, path, operation, handler = words
            yield Route(
                method, path, operation, f"swarm.{handler}", 503, Support.REFUSED, _NO_SWARM
            )
    yield _refused("POST", "/swarm/init", "SwarmInit", _NO_SWARM)
    yield _refused("POST", "/swarm/join", "SwarmJoin", _NO_SWARM)


_SNAPSHOTS = "/hyper/v1/volumes/{name}/snapshots"
_SNAPSHOT = _SNAPSHOTS + "/{snapshot}"
_RESIZE = "/hyper/v1/volumes/{name}/resize"
_VOLUME_DISKS = (
    Route("GET", _SNAPSHOTS, "HyperSnapshotList", "snapshots.list_all"),
    Route("POST", _SNAPSHOTS, "HyperSnapshotCreate", "snapshots.create", 201),
    Route("DELETE", _SNAPSHOT, "HyperSnapshotDelete", "snapshots.remove", 204),
    Route("POST", _SNAPSHOT + "/restore", "HyperSnapshotRestore", "snapshots.restore"),
    Route("POST", _RESIZE, "HyperVolumeResize", "snapshots.resize"),
)

_OWN = (
    Route("GET", "/metrics", "HyperMetrics", "metrics.show", note="for Prometheus"),
    Route(
        "POST", "/hyper/v1/run", "HyperRun", "hyper.run", 101, note="create, attach, start, wait"
    ),
    Route("GET", "/hyper/v1/doctor", "HyperDoctor", "hyper.doctor"),
    Route("GET", "/hyper/v1/memory", "HyperMemory", "hyper.memory", note="PSS, in bytes"),
    Route("GET", "/hyper/v1/kernels", "HyperKernelList", "hyper.kernels"),
    Route("POST", "/hyper/v1/kernels", "HyperKernelAdd", "hyper.kernel_add", 201),
    Route("DELETE", "/hyper/v1/kernels/{name}", "HyperKernelDelete", "hyper.kernel_remove", 204),
    Route("POST", "/hyper/v1/play/kube", "HyperPlayKube", "kube.play"),
    Route("DELETE", "/hyper/v1/play/kube", "HyperPlayKubeDown", "kube.down"),
    Route("GET", "/hyper/v1/generate/kube", "HyperGenerateKube", "kube.generate"),
    Route("GET", "/hyper/v1/services", "HyperServiceList", "kube.services"),
    Route("DELETE", "/hyper/v1/services/{name}", "HyperServiceDelete", "kube.remove_service", 204),
    Route("GET", "/hyper/v1/openapi.json", "HyperOpenApi", "pods.api_document"),
    Route("GET", "/hyper/v1/pods", "HyperPodList", "pods.list_all"),
    Route("POST", "/hyper/v1/pods", "HyperPodCreate", "pods.create", 201),
    Route("GET", "/hyper/v1/pods/{id}", "HyperPodInspect", "pods.inspect"),
    Route("DELETE", "/hyper/v1/pods/{id}", "HyperPodDelete", "pods.remove", 204),
    Route("POST", "/hyper/v1/pods/{id}/start", "HyperPodStart", "pods.start", 204),
    Route("POST", "/hyper/v1/pods/{id}/stop", "HyperPodStop", "pods.stop", 204),
    Route("POST", "/hyper/v1/pods/{id}/restart", "HyperPodRestart", "pods.restart", 204),
    Route("POST", "/hyper/v1/pods/{id}/kill", "HyperPodKill", "pods.kill", 204),
    Route("POST", "/hyper/v1/pods/{id}/pause", "HyperPodPause", "pods.pause", 204),
    Route("POST", "/hyper/v1/pods/{id}/unpause", "HyperPodUnpause", "pods.unpause", 204),
    Route("POST", "/hyper/v1/pods/{id}/wait", "HyperPodWait", "pods.wait"),
    Route("POST", "/hyper/v1/pods/{id}/labels", "HyperPodLabel", "pods.label"),
    Route("POST", "/hyper/v1/pods/{id}/resize", "HyperPodResize", "pod_changes.resize"),
    Route("GET", "/hyper/v1/pods/{id}/ports", "HyperPodPortList", "pod_changes.ports"),
    Route("POST", "/hyper/v1/pods/{id}/ports", "HyperPodPortAdd", "pod_changes.add_ports", 201),
    Route(
        "DELETE", "/hyper/v1/pods/{id}/ports", "HyperPodPortDelete", "pod_changes.remove_ports", 204
    ),
    Route("GET", "/hyper/v1/pods/{id}/services", "HyperPodServiceList", "pod_changes.services"),
    Route(
        "POST",
        "/hyper/v1/pods/{id}/services",
        "HyperPodServiceSet",
        "pod_changes.set_service",
        201,
    ),
    Route(
        "DELETE",
        "/hyper/v1/pods/{id}/services/{name}",
        "HyperPodServiceDelete",
        "pod_changes.remove_service",
        204,
    ),
    Route(
        "POST", "/hyper/v1/pods/{id}/containers", "HyperPodContainerAdd", "pods.add_container", 201
    ),
    Route(
        "DELETE",
        "/hyper/v1/pods/{id}/containers/{name}",
        "HyperPodContainerDelete",
        "pods.remove_container",
        204,
    ),
    Route("GET", "/hyper/v1/pool", "HyperPool", "pool.show"),
    *_VOLUME_DISKS,
    Route("POST", "/hyper/v1/pool", "HyperPoolChange", "pool.change"),
)

DOCKER_ROUTES: tuple[Route, ...] = (
    *_CONTAINERS,
    *_IMAGES,
    *_SYSTEM,
    *_VOLUMES,
    *_NETWORKS,
    *_PLUGINS,
    *_swarm(),
)
ROUTES: tuple[Route, ...] = (*DOCKER_ROUTES, *_OWN)
