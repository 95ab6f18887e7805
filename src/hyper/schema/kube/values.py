"""Turns references into values: env, envFrom, the downward API, the files of volumes.

What they refer to are the ConfigMaps and Secrets of the play and the pod itself; nothing is asked.
"""

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from hyper.core.pod_spec import InjectedFile
from hyper.schema.kube.configuration import Contents
from hyper.schema.kube.containers import Container
from hyper.schema.kube.environment import (
    SUBSCRIPTED,
    Bundle,
    KeyReference,
    ResourceReference,
    Source,
    Variable,
)
from hyper.schema.kube.expansion import expand
from hyper.schema.kube.names import variable
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import Pod
from hyper.schema.kube.volumes import (
    ConfigMapVolume,
    DownwardItem,
    DownwardVolume,
    Item,
    ProjectedVolume,
    SecretVolume,
)

CONFIG_MAP, SECRET = "configmap", "secret"
# A quarter of what Linux gives arguments and variables together (exec(2), 8 MiB of stack).
MAXIMUM_ENVIRONMENT_BYTES = 512 * 1024
MAXIMUM_FILES_BYTES = 16 * 1024 * 1024
ADDRESS_FIELDS = ("status.podIP", "status.podIPs")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a play knows besides one pod: ConfigMaps and Secrets by kind and name, the node, and
    by resource the size of a machine that asks for none.
    """

    contents: Mapping[tuple[str, str], Contents]
    node_name: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def find(self, kind: str, name: str, optional: bool, place: Place) -> Contents | None:
        """Return a ConfigMap's or Secret's contents; None for a missing optional one."""
        found = self.contents.get((kind, name))
        if found is None and not optional:
            raise place.invalid(
                name,
                f'{kind} "{name}" not found: it must be among the documents that are played, '
                "or be given with --configmap",
            )
        return found


@dataclass(frozen=True, slots=True)
class Environment:
    """A container's variables in order; `addresses` names those that hold the pod's address."""

    variables: Mapping[str, str]
    addresses: tuple[str, ...] = ()


def expanded(text: str, variables: Mapping[str, str], place: Place) -> str:
    """Return a text with its references replaced. Raises InvalidArgument when it grows too long."""
    try:
        return expand(text, variables)
    except ValueError as err:
        raise place.invalid(text, str(err)) from err


def environment(container: Container, pod: Pod, around: Surroundings, place: Place) -> Environment:
    """Return a container's variables: envFrom's, then env's, which win and may refer to earlier
    ones. Raises InvalidArgument, Unsupported.
    """
    found: dict[str, str] = {}
    addresses: list[str] = []
    for at, bundle in enumerate(container.env_from):
        found |= _bundle(bundle, around, place.at("envFrom").item(at))
    for at, one in enumerate(container.env):
        where = place.at("env").item(at)
        value = _value(one, container, pod, around, found, where)
        found.pop(one.name, None)
        if one.name in addresses:
            addresses.remove(one.name)
        if value is not None:
            found[one.name] = value
        if one.value_from and one.value_from.field_ref:
            if one.value_from.field_ref.field_path in ADDRESS_FIELDS:
                addresses.append(one.name)
    for name in addresses:
        found.pop(name, None)
    if sum(map(len, found.values())) > MAXIMUM_ENVIRONMENT_BYTES:
        raise place.at("env").invalid(
            len(found), f"variables of more than {MAXIMUM_ENVIRONMENT_BYTES} bytes in all"
        )
    return Environment(found, tuple(addresses))


def _bundle(bundle: Bundle, around: Surroundings, place: Place) -> dict[str, str]:
    reference, kind, field = bundle.config_map_ref, CONFIG_MAP, "configMapRef"
    if reference is None:
        reference, kind, field = bundle.secret_ref, SECRET, "secretRef"
    assert reference is not None  # the table's check
    contents = around.find(kind, reference.name, reference.optional, place.at(field).at("name"))
    found = {}
    for key, data in sorted((contents or {}).items()):
        name = bundle.prefix + key
        if problem := variable(name):
            place.notes.append(f"{place.document}: {place.path}: {name!r} is left out: {problem}")
            continue
        found[name] = _text(data, place.at(field), f"key {key}")
    return found


def _text(data: bytes, place: Place, what: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise place.invalid(what, "its value is no text: it cannot be a variable") from None
    if "\0" in text:
        raise place.invalid(what, "its value has a NUL character: it cannot be a variable")
    return text


def _value(
    one: Variable,
    container: Container,
    pod: Pod,
    around: Surroundings,
    found: Mapping[str, str],
    place: Place,
) -> str | None:
    if one.value_from is None:
        return expanded(one.value, found, place.at("value"))
    where = place.at("valueFrom")
    source: Source = one.value_from
    if source.config_map_key_ref:
        return _key(source.config_map_key_ref, CONFIG_MAP, around, where.at("configMapKeyRef"))
    if source.secret_key_ref:
        return _key(source.secret_key_ref, SECRET, around, where.at("secretKeyRef"))
    if source.resource_field_ref:
        reference = source.resource_field_ref
        return _amount(reference, container, pod, around, where.at("resourceFieldRef"))
    assert source.field_ref is not None  # the table's check
    place = where.at("fieldRef").at("fieldPath")
    return _field(source.field_ref.field_path, pod, around, place)


def _key(reference: KeyReference, kind: str, around: Surroundings, place: Place) -> str | None:
    contents = around.find(kind, reference.name, reference.optional, place.at("name"))
    if contents is None:
        return None
    if reference.key not in contents:
        if reference.optional:
            return None
        raise place.at("key").invalid(
            reference.key, f"couldn't find key {reference.key} in {kind} {reference.name}"
        )
    return _text(contents[reference.key], place.at("key"), reference.key)


def _field(path: str, pod: Pod, around: Surroundings, place: Place) -> str:
    """Return a field of the pod; "" for its address, which its start will say."""
    metadata = pod.metadata
    if match := SUBSCRIPTED.fullmatch(path):
        pairs = metadata.labels if match[1] == "labels" else metadata.annotations
        return dict(pairs).get(match[2], "")
    known = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "spec.nodeName": around.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        **dict.fromkeys(ADDRESS_FIELDS, ""),
    }
    if path in known:
        return known[path]
    if path == "metadata.uid":
        raise place.refused("a pod has no uid of its own")
    if path in ("status.hostIP", "status.hostIPs"):
        raise place.refused("a pod does not learn the addresses of its host")
    words = [*known, "metadata.labels['<KEY>']", "metadata.annotations['<KEY>']"]
    raise place.not_one_of(path, words)


def _amount(
    reference: ResourceReference,
    container: Container | None,
    pod: Pod,
    around: Surroundings,
    place: Place,
) -> str:
    if reference.container_name:
        every = (*pod.spec.init_containers, *pod.spec.containers)
        container = next((item for item in every if item.name == reference.container_name), None)
    if container is None:
        raise place.at("containerName").not_found(reference.container_name)
    kind, _, name = reference.resource.partition(".")
    needs = container.resources
    if kind == "limits":
        # Without a limit of its own a container may use its pod's machine.
        sizes = (needs.limit(name), pod.spec.resources.limit(name), around.sizes.get(name))
        amount = next((size for size in sizes if size is not None), None)
    else:
        amount = needs.request(name) or Fraction(0)
    if amount is None:
        raise place.at("resource").invalid(
            reference.resource, f"container {container.name} does not set it"
        )
    if not reference.divisor:
        raise place.at("divisor").invalid("0", "must be greater than zero")
    return str(math.ceil(amount / reference.divisor))


# --- files ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Files:
    """Makes the files of a pod's volumes, `left_bytes` more of them."""

    pod: Pod
    around: Surroundings
    left_bytes: int = MAXIMUM_FILES_BYTES

    def config_map(self, volume: ConfigMapVolume, place: Place) -> tuple[InjectedFile, ...]:
        """Return a ConfigMap's files."""
        where = place.at("name")
        contents = self.around.find(CONFIG_MAP, volume.name, volume.optional, where)
        return self._keys(contents, volume, volume.default_mode, place)

    def secret(self, volume: SecretVolume, place: Place) -> tuple[InjectedFile, ...]:
        """Return a Secret's files."""
        where = place.at("secretName")
        contents = self.around.find(SECRET, volume.secret_name, volume.optional, where)
        return self._keys(contents, volume, volume.default_mode, place)

    def downward(
        self, volume: DownwardVolume, place: Place, default_mode: int
    ) -> tuple[InjectedFile, ...]:
        """Return files that say something of the pod."""
        files = []
        for at, item in enumerate(volume.items):
            text = self._downward_text(item, place.at("items").item(at))
            files.append(self._file(item.path, text.encode(), item.mode, default_mode, place))
        return tuple(files)

    def projected(self, volume: ProjectedVolume, place: Place) -> tuple[InjectedFile, ...]:
        """Return the files of all sources; two of one name are an error."""
        files: dict[str, InjectedFile] = {}
        for at, source in enumerate(volume.sources):
            where = place.at("sources").item(at)
            mode = volume.default_mode
            made: tuple[InjectedFile, ...]
            if source.config_map:
                at_name = where.at("configMap").at("name")
                name, optional = source.config_map.name, source.config_map.optional
                contents = self.around.find(CONFIG_MAP, name, optional, at_name)
                made = self._keys(contents, source.config_map, mode, where.at("configMap"))
            elif source.secret:
                at_name = where.at("secret").at("name")
                name, optional = source.secret.name, source.secret.optional
                contents = self.around.find(SECRET, name, optional, at_name)
                made = self._keys(contents, source.secret, mode, where.at("secret"))
            else:
                assert source.downward_api is not None  # the table's check
                made = self.downward(source.downward_api, where.at("downwardAPI"), mode)
            for file in made:
                if file.path in files:
                    raise where.invalid(file.path, "conflicting duplicate paths")
                files[file.path] = file
        return tuple(files.values())

    def _keys(
        self,
        contents: Contents | None,
        volume: ConfigMapVolume | SecretVolume,
        default_mode: int,
        place: Place,
    ) -> tuple[InjectedFile, ...]:
        held = contents or {}
        items: Sequence[Item] = volume.items or [Item(key, key) for key in held]
        files = []
        for at, item in enumerate(items):
            if item.key in held:
                data = held[item.key]
                files.append(self._file(item.path, data, item.mode, default_mode, place))
            elif not volume.optional:
                raise (
                    place.at("items")
                    .item(at)
                    .at("key")
                    .invalid(item.key, "references non-existent config key")
                )
        return tuple(files)

    def _file(
        self, path: str, data: bytes, mode: int | None, default_mode: int, place: Place
    ) -> InjectedFile:
        self.left_bytes -= len(data)
        if self.left_bytes < 0:
            raise place.invalid(path, f"files of more than {MAXIMUM_FILES_BYTES} bytes in a pod")
        group = self.pod.spec.security_context.fs_group
        chosen = default_mode if mode is None else mode
        content = b64encode(data).decode()
        if group is None:
            return InjectedFile(path, content, chosen)
        # kubernetes pkg/volume/volume_linux.go: roMask
        return InjectedFile(path, content, chosen | 0o440, f"0:{group}")

    def _downward_text(self, item: DownwardItem, place: Place) -> str:
        if item.resource_field_ref:
            where = place.at("resourceFieldRef")
            return _amount(item.resource_field_ref, None, self.pod, self.around, where)
        assert item.field_ref is not None  # the table's check
        path, metadata = item.field_ref.field_path, self.pod.metadata
        if path == "metadata.labels":
            return _lines(metadata.labels)
        if path == "metadata.annotations":
            return _lines(metadata.annotations)
        return _field(path, self.pod, self.around, place.at("fieldRef").at("fieldPath"))


def _lines(pairs: Iterable[tuple[str, str]]) -> str:
    # kubernetes pkg/fieldpath/fieldpath.go: FormatMap
    return "\n".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(pairs)
    )
