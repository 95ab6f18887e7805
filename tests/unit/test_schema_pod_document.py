"""Hyper's pod document: what is read, what is refused by its path, and its JSON Schema."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hyper.api.documents import parse_document
from hyper.core.errors import InvalidArgument
from hyper.core.pod_spec import ActionKind, Medium, PodEndpoint, PodPort, Role
from hyper.core.spec import Device, MountKind, RestartPolicyName
from hyper.engine.file_sources import encoded
from hyper.schema import document, own_api
from hyper.schema.container import parse_create
from hyper.schema.pod_document import POD, json_schema, read_document
from tests.support import kube_bodies as bodies

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("pod-*"))


def _read(text: str) -> Any:
    return read_document(parse_document(text.encode()))


def _container(text: str) -> Any:
    return _read(f"{{containers: [{{image: x, {text}}}]}}").containers[0]


def test_the_schema_in_docs_is_the_code_s() -> None:
    shown = json.loads((DOCS / "pod-spec.schema.json").read_text())
    assert shown == json_schema(), "run `python -m hyper.schema.pod_document`"
    jsonschema.Draft202012Validator.check_schema(shown)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_fit_the_schema_and_are_read(path: Path) -> None:
    value = parse_document(path.read_bytes())
    jsonschema.validate(value, json_schema(), jsonschema.Draft202012Validator)
    assert read_document(value).containers


def test_a_whole_document_means_what_it_says() -> None:
    read = read_document(parse_document((DOCS / "examples" / "pod-web.yaml").read_bytes()))
    prepare, log, server = read.containers
    assert [item.role for item in read.containers] == [Role.INIT, Role.SIDECAR, Role.MAIN]
    assert server.restart_policy.name is RestartPolicyName.ALWAYS
    assert server.read_only_root and server.mounts[0].read_only
    assert server.mounts[0].kind is MountKind.POD and prepare.mounts[0].destination == "/www"
    assert server.probes.readiness and server.probes.readiness.action.kind is ActionKind.HTTP
    assert server.resources.memory_bytes == 64 << 20 and server.resources.cpus == 0.5
    assert read.spec.volumes[0].source.medium is Medium.DISK
    assert read.spec.ports == (PodPort(8080, host_port=18080),)
    assert (read.spec.memory_bytes, read.spec.grace_s, log.name_in_pod) == (256 << 20, 5, "log")


def test_port_ranges_are_taken_apart() -> None:
    read = _read("portmappings: [{hostPort: 3000-3002, containerPort: 80-82, protocol: udp}]")
    assert [(p.host_port, p.container_port, p.protocol) for p in read.spec.ports] == [
        (3000, 80, "udp"),
        (3001, 81, "udp"),
        (3002, 82, "udp"),
    ]
    free = _read("portmappings: [{containerPort: 80-81}]").spec.ports
    assert [port.host_port for port in free] == [0, 0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense: 1", "nonsense: there is no such field"),
        ("containers: [{image: x, foo: 1}]", "containers[0].foo: there is no such field"),
        ("containers: [{}]", "containers[0].image: this field is required"),
        ("containers: [{image: 1}, {image: [x]}]", "containers[1].image: a string is needed"),
        ("hostname: 'a b'", "hostname: invalid hostname: 'a b'"),
        (f"hostname: {'x' * 65}", "longer than 64 characters"),
        ("hostname: -a", "hostname: invalid hostname"),
        ("id: a/b", "id: Invalid pod name (a/b)"),
        (
            "portmappingWhiteLists: {externalNetworks: [192.0.2.1/24]}",
            "portmappingWhiteLists.externalNetworks[0]: '192.0.2.1/24' is not a network",
        ),
        ("interfaces: [{gateway: 10.0.0.1}]", "interfaces[0].gateway: a network has its own"),
        ("interfaces: [{ip: 10.0.0.1/24}]", "interfaces[0].ip: '10.0.0.1/24': the prefix is"),
        ("interfaces: [{mac: '01:00:00:00:00:01'}]", "interfaces[0].mac"),
        ("interfaces: [{network: none, mtu: 1400}]", "interfaces[0].mtu: a pod without network"),
        ("interfaces: [{}, {network: none}]", "interfaces[1]: a pod without network"),
        ("interfaces: [{network: a, bridge: b}]", "interfaces[0].bridge: it is another name"),
        ("interfaces: [{ifname: eth1}, {network: b}]", "interfaces[1].ifname: interfaces[0] is"),
        ("interfaces: [{ifname: lo}]", "interfaces[0].ifname: 'lo' is a name of the kernel's"),
        ("devices: [{path: '01:00.0', readOnly: true}]", "devices[0].readOnly: a PCI device"),
        ("{machine: microvm, devices: [{path: '01:00.0'}]}", "devices[0].path: machine type"),
        ("devices: [{path: /dev/a}, {path: /dev/a}]", "devices[1].path: /dev/a is given twice"),
        (
            "portmappings: [{hostPort: 80-82, containerPort: 80-81}]",
            "portmappings[0]: the ranges differ in length",
        ),
        (
            "portmappings: [{hostPort: 80-82, containerPort: 80-82}, "
            "{hostPort: 82, containerPort: 9}]",
            "host port 82/tcp is published twice",
        ),
        ("portmappings: [{hostPort: 0-70000, containerPort: 1}]", "hostPort"),
        ("resource: {vcpu: 0}", "resource.vcpu: 0 is not in 1..255"),
        ("resource: {memory: lots}", "resource.memory: invalid size: 'lots'"),
        ("files: [{name: a}]", "files[0]: either uri or contents is needed"),
        ("files: [{name: a, uri: 'ftp://x/y'}]", "files[0].uri: only http, https and file"),
        ("files: [{name: a, contents: x}, {name: a, contents: y}]", "files[1].name: a second"),
        (
            "containers: [{image: x, files: [{filename: a, path: /a}]}]",
            "containers[0].files[0].filename: the document has no file named 'a'",
        ),
        (
            "{files: [{name: a, contents: x}], containers: [{image: x}]}",
            "files[0]: no container of the document uses the file 'a'",
        ),
        ("volumes: [{name: v, driver: raw}]", "volumes[0].source: the path of the raw image"),
        ("volumes: [{name: v, driver: nfs, source: /x}]", "volumes[0].source: ADDRESS:/EXPORT"),
        ("volumes: [{name: v, options: x}]", "volumes[0].options: a volume of this kind has none"),
        (
            "containers: [{image: x, StopSignal: SIGWRONG}]",
            "containers[0].StopSignal: Invalid signal",
        ),
        ("containers: [{image: x, restartPolicy: maybe}]", "containers[0].restartPolicy: 'maybe'"),
        (
            "containers: [{image: x, security: {seccomp: strict}}]",
            "containers[0].security.seccomp: 'strict' is not one of default, unconfined",
        ),
        (
            "containers: [{image: x, devices: [{path: /dev/fuse, permissions: rr}]}]",
            "containers[0].devices[0].permissions: 'rr' has a letter twice",
        ),
        ("containers: [{image: x, role: boss}]", "containers[0].role: 'boss' is not one of"),
        (
            "containers: [{image: x, probes: {liveness: {period: 1}}}]",
            "containers[0].probes.liveness: one action is needed",
        ),
        ("services: [{serviceip: x, serviceport: 1}]", "services[0].serviceip: 'x' is not an IP"),
        ("tty: true", "tty: it is for containers of the document, which has none"),
        ("restartPolicy: always", "restartPolicy: it is for containers of the document"),
        ("log: {config: {nosuch: x}}", "log: unknown log opt 'nosuch' for json-file log driver"),
        ("log: {type: json-file, config: {max-size: x}}", "log: failed to initialize logging"),
        ("dnsOptions: ['a b']", "dnsOptions[0]: 'a b' is not of the form"),
        ('dnsSearch: ["a\\nnameserver b"]', "dnsSearch[0]"),
        ("containers: [{image: x, extraHosts: ['a:b']}]", "extraHosts[0]: invalid IP address"),
        (
            "containers: [{image: x, healthcheck: {test: [NOSUCH, y]}}]",
            "healthcheck.test: CMD and arguments",
        ),
        ("containers: [{image: x, healthcheck: {test: [CMD-SHELL]}}]", "healthcheck.test: CMD"),
        (
            "containers: [{image: x, volumes: [{volume: v, path: /v, subpath: a/../../b}]}]",
            "containers[0].volumes[0].subpath: 'a/../../b' leads out of the volume",
        ),
        ("portmappings: [{containerPort: 5-3}]", "portmappings[0].containerPort: '5-3' is no port"),
        ("a: &b 1\nc: *b", "line 2: YAML aliases are not supported"),
        ("id: a\nid: b", "line 2: the field id is there twice"),
        ("[1, 2]", "the document is not an object"),
        ("id: a\n---\nid: b", "one document is needed, not 2"),
        ("id: [", "the document is neither YAML nor JSON"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(text: str, error: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        _read(text)
    assert error in str(refused.value)


def test_users_environment_and_restart_policies() -> None:
    spec = _container("user: {name: www, group: web, additionalGroups: [a, '5']}")
    assert (spec.user, spec.groups) == ("www:web", ("a", "5"))
    assert _container("user: 1000").user == "1000"
    assert _container("envs: [{env: A, value: b}, {env: C}]").env == ("A=b", "C=")
    assert _container("restartPolicy: no").restart_policy.name is RestartPolicyName.NO
    assert _container("restartPolicy: 'onFailure:3'").restart_policy.maximum_retries == 3


def test_what_the_pod_says_for_all_is_overridden_by_a_container() -> None:
    read = _read(
        "{tty: true, restartPolicy: always, log: {type: none}, dns: [10.0.0.1], "
        "containers: [{image: x}, {image: y, tty: false, restartPolicy: never}]}"
    )
    first, second = read.containers
    assert (first.tty, second.tty) == (True, False)
    assert first.restart_policy.name is RestartPolicyName.ALWAYS
    assert second.restart_policy.name is RestartPolicyName.NO
    assert (read.spec.log_driver, read.spec.dns) == ("none", ("10.0.0.1",))
    assert (first.log.driver, second.dns) == ("", ())  # the pod's, as for one that comes later


def test_interfaces_are_places_on_networks() -> None:
    spec = _read(
        "{interfaces: [{bridge: back, ip: 10.0.0.9, mac: '02:AA:00:00:00:01', mtu: 1400, "
        "ifname: lan0}, {}], portmappingWhiteLists: {internalNetworks: [10.0.0.0/8], "
        "externalNetworks: ['2001:db8::/32']}, annotations: {a: b}}"
    ).spec
    assert spec.network_mode == "back"
    assert spec.endpoints == (
        PodEndpoint("back", "10.0.0.9", "02:aa:00:00:00:01", 1400, "lan0"),
        PodEndpoint("default"),
    )
    assert spec.port_sources == ("10.0.0.0/8", "2001:db8::/32")
    assert spec.annotations == (("a", "b"),)
    assert _read("{interfaces: [{network: none}]}").spec.endpoints == ()


def test_files_are_given_to_the_containers_that_name_them() -> None:
    read = read_document(parse_document((DOCS / "examples" / "pod-files.json").read_bytes()))
    contents = {
        file.name: encoded(file.name, file.content.encode(), file.encoding) for file in read.files
    }
    config, key = read.with_files(contents)[0].files
    assert base64.b64decode(config.content) == b"colour = blue\n"
    assert (config.mode, config.owner, key.mode, key.owner) == (0o640, "1000:1000", 0o400, "")
    assert base64.b64decode(key.content) == bytes(range(5))


def test_corrupt_base64_is_refused_by_the_file_s_name() -> None:
    with pytest.raises(InvalidArgument, match=r"file key: its contents are not base64"):
        encoded("key", b"AAEC!", "base64")


def test_every_field_says_what_it_is_for() -> None:
    def walk(table: document.Table) -> list[str]:
        bare = [f"{table.doc}: {key.name}" for key in table.keys if not key.doc]
        for key in table.keys:
            node = key.node.item if isinstance(key.node, document.ListOf) else key.node
            if isinstance(node, document.Table):
                bare += walk(node)
        return bare

    assert walk(POD) == []


def test_the_openapi_document_is_current_and_names_every_route() -> None:
    kept = json.loads((DOCS / "hyper-api.json").read_text())
    assert kept == own_api.document(), "run `python -m hyper.schema.own_api`"
    operations = {route.operation for route in own_api.routes()}
    assert operations == set(own_api.OPERATIONS)
    for methods in kept["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                jsonschema.Draft202012Validator.check_schema(content["schema"])


@pytest.mark.parametrize(
    ("here", "docker", "kube"),
    [
        ("capAdd: [CHOWN]", {"CapAdd": ["CHOWN"]}, {"capabilities": {"add": ["CHOWN"]}}),
        ("capDrop: [ALL]", {"CapDrop": ["ALL"]}, {"capabilities": {"drop": ["ALL"]}}),
        ("privileged: true", {"Privileged": True}, {"privileged": True}),
        (
            "noNewPrivileges: true",
            {"SecurityOpt": ["no-new-privileges:true"]},
            {"allowPrivilegeEscalation": False},
        ),
        (
            "seccomp: unconfined",
            {"SecurityOpt": ["seccomp=unconfined"]},
            {"seccompProfile": {"type": "Unconfined"}},
        ),
        (
            "unmasked: true",
            {"MaskedPaths": [], "ReadonlyPaths": []},
            {"procMount": "Unmasked"},
        ),
        (
            'seccomp: {defaultAction: SCMP_ACT_ALLOW}',
            {"SecurityOpt": ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}']},
            None,
        ),
    ],
)  # fmt: skip
def test_what_a_container_may_do_is_the_same_said_in_three_ways(
    here: str, docker: dict[str, Any], kube: dict[str, Any] | None
) -> None:
    security = _container(f"security: {{{here}}}").security
    body = {"Image": "x", "HostConfig": docker}
    assert parse_create(body).spec.security == security
    if kube is not None:
        planned = bodies.planned(securityContext=kube).containers[0].spec.security
        assert planned == security


def test_limits_and_devices_are_those_of_docker() -> None:
    found = _container(
        "limits: {cpuShares: 512, cpuset: 0-1, memoryReservation: 32m}, storageSize: 1g, "
        "devices: [{path: /dev/fuse, permissions: r}], tmpfs: [{path: /t, size: 16m}]"
    )
    host = {
        "CpuShares": 512,
        "CpusetCpus": "0-1",
        "MemoryReservation": 32 << 20,
        "StorageOpt": {"size": "1g"},
        "Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "r"}],
    }
    spec = parse_create({"Image": "x", "HostConfig": host}).spec
    assert found.resources == replace(spec.resources, cpus=0.0)
    assert found.devices == (Device("/dev/fuse", "/dev/fuse", "r"),)
    assert (found.devices[0].path, found.storage_size_bytes) == (
        spec.devices[0].path,
        spec.storage_size_bytes,
    )
    assert (found.mounts[0].size_bytes, found.mounts[0].mode) == (16 << 20, 0o1777)


def test_a_character_of_two_escapes_is_one() -> None:
    """In a document that is JSON; a single half of such a pair is nothing that can be written."""
    value = parse_document(rb'{"\ud83d\ude00": "\ud83d\ude00 \ud800"}')
    assert value == {"\U0001f600": "\U0001f600 \ufffd"}
