"""Owns pods as Hyper's own API shows them."""

from collections.abc import Sequence

from hyper.api.times import rfc3339
from hyper.core.pod_spec import PodService, PodSpec
from hyper.core.spec import PortBinding
from hyper.engine.views import ContainerView, PodView

JSON = dict[str, object]


def summary(view: PodView) -> JSON:
    """Return a pod as lists show it."""
    return {
        "Id": view.id,
        "Name": view.spec.name,
        "Created": rfc3339(view.created_ns),
        "State": str(view.state),
        "Lone": view.spec.lone,
        "Containers": list(view.container_ids),
        "VCpus": view.spec.vcpus,
        "Memory": view.spec.memory_bytes,
        "Kernel": view.spec.kernel,
        "Labels": dict(view.spec.labels),
        "Pid": view.vmm_pid,
        "Accelerator": view.accelerator,
        "IPAddress": view.network.address,
    }


def inspect(view: PodView, containers: Sequence[ContainerView]) -> JSON:
    """Return a pod with its containers."""
    spec = view.spec
    shown = summary(view)
    shown["Containers"] = [container(item) for item in containers]
    shown["Spec"] = {
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "KernelParameters": list(spec.kernel_parameters),
        "MaxVCpus": spec.max_vcpus,
        "MaxMemory": spec.max_memory_bytes,
        "Follows": spec.follows,
        "SharePid": spec.share_pid,
        "Network": spec.network_mode,
        "Interfaces": [
            {
                "Network": place.network,
                "IPAddress": place.address,
                "MacAddress": place.mac,
                "MTU": place.mtu,
                "Name": place.interface,
            }
            for place in spec.endpoints
        ],
        "PortSources": list(spec.port_sources),
        "Annotations": dict(spec.annotations),
        "Volumes": volumes(spec),
        "Services": [service(item) for item in spec.services],
        "Sysctls": dict(spec.sysctls),
        "ShmSize": spec.shm_size_bytes,
        "GracePeriod": spec.grace_s,
        "Deadline": spec.deadline_s,
        "Devices": [
            {"Path": item.path, "ReadOnly": item.read_only, "Target": item.target}
            for item in spec.devices
        ],
        "Machine": spec.machine,
        "AutoRemove": spec.auto_remove,
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "Log": {"Type": spec.log_driver, "Config": dict(spec.log_options)},
    }
    shown["Ports"] = [port(item) for item in view.network.ports] if view.vmm_pid else []
    shown["Ready"] = bool(containers) and all(item.ready for item in containers if item.active)
    victims = [item for item in containers if item.status.vm_oom]
    shown["OOMKilled"] = bool(victims)  # for the memory of the VM, not for a container's limit
    shown["OOMVictims"] = [item.spec.name_in_pod or item.name for item in victims]
    return shown


def container(view: ContainerView) -> JSON:
    """Return a container as its pod shows it."""
    status = view.status
    return {
        "Id": view.id,
        "Name": view.name,
        "NameInPod": view.spec.name_in_pod or view.name,
        "Role": str(view.spec.role),
        "Image": view.spec.image,
        "State": str(status.state),
        "Ready": view.ready,
        "Started": view.started,
        "ExitCode": status.exit_code,
        "Error": status.error,
        "OOMKilled": status.oom_killed,
        "RestartCount": status.restart_count,
        "StartedAt": rfc3339(status.started_ns),
        "FinishedAt": rfc3339(status.finished_ns),
    }


def volumes(spec: PodSpec) -> list[JSON]:
    """Return the volumes of a pod; the contents of their files are not shown."""
    return [
        {
            "Name": item.name,
            "Medium": str(item.source.medium),
            "Source": item.source.source,
            "ReadOnly": item.source.read_only,
            "Size": item.source.size_bytes,
        }
        for item in spec.volumes
    ]


def port(binding: PortBinding) -> JSON:
    """Return a published port."""
    return {
        "ContainerPort": binding.container_port,
        "HostPort": binding.host_port,
        "HostIP": binding.host_ip,
        "Protocol": binding.protocol,
    }


def service(item: PodService) -> JSON:
    """Return a service of a pod."""
    return {
        "Name": item.name,
        "Address": item.address,
        "Port": item.port,
        "Protocol": item.protocol,
        "Scheduler": item.scheduler,
        "Backends": [
            {"Address": backend.address, "Port": backend.port, "Weight": backend.weight}
            for backend in item.backends
        ],
    }
