"""Owns the daemon's configuration: defaults, the file's keys, where things are kept.

Names are those of dockerd's configuration file; what is Hyper's own stands below the key "hyper".
An unknown key is refused by name: none is silently ignored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hyper.core.errors import InvalidArgument
from hyper.core.units import MIB, parse_size


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one daemon: `root` survives, `run` may be deleted at any boot."""

    root: Path
    run: Path

    @property
    def database(self) -> Path:
        """The state database."""
        return self.root / "state.db"

    @property
    def images(self) -> Path:
        """The image store's folder."""
        return self.root / "images"

    @property
    def containers(self) -> Path:
        """One folder per container: its log and writable disk."""
        return self.root / "containers"

    @property
    def pod_disks(self) -> Path:
        """One folder per pod that has empty volumes of its own."""
        return self.root / "pods"

    @property
    def volumes(self) -> Path:
        """Named volumes."""
        return self.root / "volumes"

    @property
    def empty_disks(self) -> Path:
        """Empty file systems that writable disks are copied from."""
        return self.root / "empty-disks"

    @property
    def kernels(self) -> Path:
        """Kernels added by name."""
        return self.root / "kernels"

    @property
    def templates(self) -> Path:
        """Templates that VMs are cloned from."""
        return self.root / "templates"

    @property
    def rehearsal(self) -> Path:
        """The disks waiting clones rehearse with."""
        return self.root / "rehearsal"

    @property
    def pool(self) -> Path:
        """One folder per waiting clone."""
        return self.run / "pool"

    @property
    def pods(self) -> Path:
        """One folder per running VM: its sockets and console."""
        return self.run / "pods"

    @property
    def socket(self) -> Path:
        """The API socket."""
        return self.run / "hyper.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator may set. Sizes in bytes, times in seconds."""

    accelerator: str = "auto"
    qemu: str = ""
    kernel: str = ""
    initrd: str = ""
    vcpus: int = 1
    memory_bytes: int = 512 * MIB
    disk_bytes: int = 10 * 1024 * MIB
    hosts: tuple[str, ...] = ()
    group: str = ""
    root: str = ""
    log_level: str = "info"
    log_format: str = "text"
    metrics_address: str = ""
    log_driver: str = "json-file"
    log_options: tuple[tuple[str, str], ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    stop_timeout_s: float = 10.0
    labels: tuple[str, ...] = ()
    templates: bool = True
    forks: bool = True
    network: str = "auto"
    pool_waiting: int = 2
    pool_shapes: int = 1
    pod_files: str = ""
    kernel_parameters: tuple[str, ...] = (
        "default_hugepagesz",
        "hugepages",
        "hugepagesz",
        "loglevel",
        "mitigations",
        "transparent_hugepage",
    )


def default_places() -> Places:
    """Return root's system folders or, for an ordinary user, the XDG ones (DESIGN 4.9)."""
    if os.geteuid() == 0:
        return Places(Path("/var/lib/hyper"), Path("/run/hyper"))
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    run = Path(runtime) / "hyper" if runtime else Path(f"/tmp/hyper-{os.geteuid()}")
    return Places(Path(data) / "hyper", run)


def load_settings(path: Path | None) -> Settings:
    """Return the settings of a configuration file; the defaults when `path` is None.

    Raises InvalidArgument naming the file and the key.
    """
    if path is None:
        return Settings()
    try:
        content = json.loads(path.read_text())
    except OSError as err:
        raise InvalidArgument(f"cannot read the configuration file {path}: {err.strerror}") from err
    except ValueError as err:
        raise InvalidArgument(f"the configuration file {path} is not JSON: {err}") from err
    if not isinstance(content, dict):
        raise InvalidArgument(f"the configuration file {path} is not a JSON object")
    try:
        own = _object(content.pop("hyper", {}), "hyper")
        settings = _apply(Settings(), content, _DOCKER_KEYS)
        pool = _object(own.pop("pool", {}), "pool")
        settings = _apply(settings, own, _OWN_KEYS)
        return _apply(settings, pool, _POOL_KEYS)
    except InvalidArgument as err:
        raise InvalidArgument(f"{path}: {err}") from err


def _apply(settings: Settings, content: Mapping[str, Any], keys: Mapping[str, Any]) -> Settings:
    for key, value in content.items():
        if key not in keys:
            raise InvalidArgument(
                f"the following directives don't match any configuration option: {key}"
            )
        attribute, convert = keys[key]
        settings = replace(settings, **{attribute: convert(value, key)})
    return settings


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{key}: expected a string, got {value!r}")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidArgument(f"{key}: expected a list, got {value!r}")
    return tuple(_text(item, key) for item in value)


def _number(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(f"{key}: expected a positive number, got {value!r}")
    return value


def _count(value: Any, key: str) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else _number(value, key)


def _flag(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{key}: expected true or false, got {value!r}")
    return value


def _size(value: Any, key: str) -> int:
    return _number(value, key) if isinstance(value, int) else parse_size(_text(value, key))


def _object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{key}: expected an object, got {value!r}")
    return value


def _pairs(value: Any, key: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(item)) for name, item in _object(value, key).items())


def _level(value: Any, key: str) -> str:
    if value not in ("debug", "info", "warn", "error", "fatal"):
        raise InvalidArgument(f"{key}: invalid logging level: {value}")
    return str(value)


def _log_format(value: Any, key: str) -> str:
    if value not in ("text", "json"):
        raise InvalidArgument(f"{key}: invalid log format: {value}")
    return str(value)


def _debug(value: Any, key: str) -> str:
    return "debug" if value is True else "info"


def _accelerator(value: Any, key: str) -> str:
    if value not in ("auto", "kvm", "tcg"):
        raise InvalidArgument(f"{key}: expected auto, kvm or tcg, got {value!r}")
    return str(value)


def _network(value: Any, key: str) -> str:
    if value not in ("auto", "namespace", "user"):
        raise InvalidArgument(f"{key}: expected auto, namespace or user, got {value!r}")
    return str(value)


_DOCKER_KEYS: Mapping[str, Any] = {
    "data-root": ("root", _text),
    "debug": ("log_level", _debug),
    "dns": ("dns", _texts),
    "dns-opts": ("dns_options", _texts),
    "dns-search": ("dns_search", _texts),
    "group": ("group", _text),
    "hosts": ("hosts", _texts),
    "insecure-registries": ("insecure_registries", _texts),
    "labels": ("labels", _texts),
    "log-driver": ("log_driver", _text),
    "log-format": ("log_format", _log_format),
    "log-level": ("log_level", _level),
    "log-opts": ("log_options", _pairs),
    "max-concurrent-downloads": ("max_concurrent_downloads", _number),
    "metrics-addr": ("metrics_address", _text),
    "registry-mirrors": ("registry_mirrors", _texts),
}
_OWN_KEYS: Mapping[str, Any] = {
    "accelerator": ("accelerator", _accelerator),
    "disk": ("disk_bytes", _size),
    "initrd": ("initrd", _text),
    "kernel": ("kernel", _text),
    "memory": ("memory_bytes", _size),
    "kernel-parameters": ("kernel_parameters", _texts),
    "pod-files": ("pod_files", _text),
    "network": ("network", _network),
    "qemu": ("qemu", _text),
    "templates": ("templates", _flag),
    "forks": ("forks", _flag),
    "vcpus": ("vcpus", _number),
}
_POOL_KEYS: Mapping[str, Any] = {
    "shapes": ("pool_shapes", _number),
    "waiting": ("pool_waiting", _count),
}
