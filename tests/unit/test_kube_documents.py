"""Reading Kubernetes documents: YAML as Kubernetes reads it, errors with paths, no silent field."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.schema.kube import report
from hyper.schema.kube.documents import KINDS, REFUSED_KINDS, read_documents
from hyper.schema.kube.fields import Decision, Field, Table
from hyper.schema.kube.place import Place
from hyper.schema.kube.pod import Pod

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: one
    image: busybox
"""
TABLES = report._tables()


def _pod(**spec: object) -> str:
    containers = spec.pop("containers", [{"name": "one", "image": "busybox"}])
    body = {"containers": containers, **spec}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": body}
    )


def _container(**fields: object) -> str:
    return _pod(
        containers=[{"name": "one", "image": "busybox", **fields}], volumes=[{"name": "data"}]
    )


def _read_pod(text: str) -> Pod:
    (document,) = read_documents(text).documents
    assert isinstance(document, Pod)
    return document


def test_the_page_says_what_the_tables_say() -> None:
    path = Path(__file__).parents[2] / "docs" / "kube.md"
    assert path.read_text() == report.page(), (
        "docs/kube.md is out of date: python -m hyper.schema.kube.report > docs/kube.md"
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_every_field_is_kept_noted_or_refused(table: Table[Any]) -> None:
    for field in table.fields:
        _check_field(table, field)


def _check_field(table: Table[Any], field: Field) -> None:
    place = Place("Pod", "spec")
    alone = Table("alone", dict, (field,))
    something = {field.name: {"some": "thing"}}
    match field.decision:
        case Decision.REFUSED:
            with pytest.raises(Unsupported, match=rf"^Pod: spec\.{field.name}: not supported: .+"):
                alone.read(something, place)
        case Decision.IDLE:
            alone.read(something, place)
            assert place.notes == [f"Pod: spec.{field.name}: has no effect: {field.note}"]
        case _:
            assert field.codec is not None
            attributes = {item.name for item in dataclasses.fields(table.build)}  # type: ignore[arg-type]
            assert field.attribute in attributes
    if field.codec is None:
        assert field.note
        for neutral in field.neutral:
            quiet = Place("Pod", "spec")
            alone.read({field.name: neutral}, quiet)
            assert quiet.notes == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_no_attribute_is_without_a_field(table: Table[Any]) -> None:
    attributes = {item.name for item in dataclasses.fields(table.build)}  # type: ignore[arg-type]
    read = {field.attribute for field in table.fields if field.codec}
    allowed = {
        "sources[].configMap": {"default_mode"},
        "sources[].secret": {"default_mode"},
        "container": {"restart_policy"},
        "DaemonSet spec": {"replicas"},
        "pod resources": {"requests"},
    }
    if table.title == "downwardAPI" and "defaultMode" not in {f.name for f in table.fields}:
        read.add("default_mode")
    assert attributes - read == allowed.get(table.title, set())


@pytest.mark.parametrize("kind", REFUSED_KINDS)
def test_a_kind_that_means_nothing_here_is_refused_by_name(kind: str) -> None:
    with pytest.raises(Unsupported, match=f"^document 2: kind {kind}: not supported: .+"):
        read_documents(f"{POD}---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (POD + "    foo: 1\n", 'Pod "web" is invalid: strict decoding error: unknown field '
                               '"spec.containers[0].foo"'),
        (POD.replace("web", "Web"), 'Pod "Web" is invalid: metadata.name: Invalid value: "Web": a '
                                    "lowercase RFC 1123 subdomain must consist of"),
        (POD.replace("  name: web", "  labels: {}"), "document 1 (Pod) is invalid: metadata.name: "
                                                     "Required value"),
        (POD.replace("    image: busybox", ""), "spec.containers[0].image: Required value"),
        (POD.replace("v1", "v2"), 'no matches for kind "Pod" in version "v2": use v1'),
        (POD.replace("kind: Pod", ""), "Object 'Kind' is missing"),
        ("- 1", "an object with apiVersion and kind is needed"),
        ("a: [", "error converting YAML to JSON: line 1: "),
        ("a: 1\na: 2", 'line 2: key "a" already set in map'),
        ("a: &x [*x]", "an anchor contains itself"),
        ("", "no Kubernetes object found"),
        ("# nothing\n---\n", "no Kubernetes object found"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("[" * 500, "nested more than"),
        ("x: " + "9" * 5000, "is too long"),
        (POD.replace("kind: Pod", "kind: Widget"), "kind Widget: not supported: Hyper plays Pod"),
        (_pod(containers=[]), "spec.containers: Required value"),
        (_pod(containers="x"), 'spec.containers: Invalid value: "x": a list is needed'),
        (_pod(restartPolicy="Sometimes"), 'spec.restartPolicy: Unsupported value: "Sometimes": '
                                          'supported values: "Always", "OnFailure", "Never"'),
        (_pod(volumes=[{"name": "a"}, {"name": "a"}]),
         'spec.volumes[1].name: Duplicate value: "a"'),
        (_pod(volumes=[{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]),
         "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"),
        (_pod(volumes=[{"name": "a", "iscsi": {"lun": 0}}]),
         'Pod "web": spec.volumes[0].iscsi: not supported: a storage driver'),
        (_pod(containers=[{"name": "a", "image": "i"}] * 2),
         'spec.containers[1].name: Duplicate value: "a"'),
        (_pod(initContainers=[{"name": "one", "image": "i"}]),
         'spec.containers[0].name: Duplicate value: "one"'),
        (_pod(initContainers=[{"name": "i", "image": "i", "lifecycle": {
            "preStop": {"sleep": {"seconds": 1}}}}]),
         "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers"),
        (_pod(initContainers=[{"name": "i", "image": "i", "readinessProbe": {
            "exec": {"command": ["x"]}}}]),
         "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers"),
        (_pod(initContainers=[{"name": "i", "image": "i", "restartPolicy": "Never"}]),
         "spec.initContainers[0].restartPolicy: not supported: Never: an init container runs once"),
        (_pod(hostNetwork=True), "spec.hostNetwork: not supported: a VM shares no namespace"),
        (_pod(hostPID=True), "spec.hostPID: not supported"),
        (_pod(hostIPC=True), "spec.hostIPC: not supported"),
        (_pod(dnsPolicy="None"), "spec.dnsConfig.nameservers: Required value: must provide"),
        (_pod(hostname="a.b"), 'spec.hostname: Invalid value: "a.b": a lowercase RFC 1123 label'),
        (_container(image=" busybox"), "must not have leading or trailing whitespace"),
        (_container(env=[{"name": "A", "value": 5}]),
         "spec.containers[0].env[0].value: Invalid value: 5: a string is needed"),
        (_container(env=[{"name": "A=B", "value": "x"}]),
         'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name'),
        (_container(env=[{"name": "A", "valueFrom": {}}]), "must specify one of: `fieldRef`"),
        (_container(env=[{"name": "A", "value": "x", "valueFrom": {
            "fieldRef": {"fieldPath": "metadata.name"}}}]),
         "may not be specified when `value` is not empty"),
        (_container(ports=[{"containerPort": 0}]),
         "ports[0].containerPort: Invalid value: 0: must be greater than or equal to 1"),
        (_container(ports=[{"containerPort": 80, "name": "80"}]),
         "ports[0].name: Invalid value: \"80\": must contain at least one letter (a-z)"),
        (_container(ports=[{"containerPort": 1, "name": "x"}, {"containerPort": 2, "name": "x"}]),
         'ports[1].name: Duplicate value: "x"'),
        (_container(ports=[{"containerPort": 1, "hostPort": 9}, {"containerPort": 2,
                                                                 "hostPort": 9}]),
         "ports[1].hostPort: Duplicate value: 9"),
        (_container(ports=[{"containerPort": 1, "protocol": "SCTP"}]),
         "ports[0].protocol: not supported: SCTP: SCTP is not forwarded"),
        (_container(volumeMounts=[{"name": "none", "mountPath": "/x"}]),
         'volumeMounts[0].name: Not found: "none"'),
        (_container(volumeMounts=[{"name": "data", "mountPath": "/x"}] * 2),
         'volumeMounts[1].mountPath: Invalid value: "/x": must be unique'),
        (_container(volumeMounts=[{"name": "data", "mountPath": "/x", "subPath": "../y"}]),
         "volumeMounts[0].subPath: Invalid value: \"../y\": must not contain '..'"),
        (_container(volumeMounts=[{"name": "data", "mountPath": "/x",
                                   "mountPropagation": "Bidirectional"}]),
         "volumeMounts[0].mountPropagation: not supported: Bidirectional: mounts do not travel"),
        (_container(livenessProbe={}), "livenessProbe: Required value: must specify a handler"),
        (_container(livenessProbe={"exec": {}}), "livenessProbe.exec.command: Required value"),
        (_container(livenessProbe={"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}),
         "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
        (_container(livenessProbe={"tcpSocket": {"port": "web"}}),
         'livenessProbe.tcpSocket.port: Invalid value: "web": no port of the container'),
        (_container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
         "livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        (_container(readinessProbe={"exec": {"command": ["a"]},
                                    "terminationGracePeriodSeconds": 2}),
         "readinessProbe.terminationGracePeriodSeconds: Invalid value: 2: must not be set"),
        (_container(readinessProbe={"grpc": {"port": 0}}), "Probe.grpc.port: Invalid value"),
        (_container(livenessProbe={"httpGet": {"port": 1, "scheme": "HTTPS"}}),
         "livenessProbe.httpGet.scheme: not supported: HTTPS: probes and hooks speak no TLS"),
        (_container(lifecycle={"preStop": {"tcpSocket": {"port": 1}}}),
         "lifecycle.preStop.tcpSocket: not supported"),
        (_container(resources={"limits": {"cpu": "x"}}),
         "resources.limits.cpu: Invalid value: \"x\": quantities must match"),
        (_container(resources={"limits": {"cpu": "-1"}}), "must be greater than or equal to 0"),
        (_container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
         'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        (_container(resources={"limits": {"nvidia.com/gpu": 1}}),
         "resources.limits.nvidia.com/gpu: not supported: an extended resource"),
        (_container(resources={"limits": {"hugepages-2Mi": "4Mi"}}), "huge pages"),
        (_container(securityContext={"allowPrivilegeEscalation": False, "privileged": True}),
         "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        (_container(securityContext={"seccompProfile": {"type": "Localhost"}}),
         "securityContext.seccompProfile.type: not supported: Localhost"),
        (_container(securityContext={"runAsUser": -1}),
         "securityContext.runAsUser: Invalid value: -1: must be greater than or equal to 0"),
        (_container(terminationMessagePath="/tmp/x"), "terminationMessagePath: not supported"),
        (_container(securityContext={"seLinuxOptions": {"level": "x"}}),
         "securityContext.seLinuxOptions: not supported: the guest has no SELinux"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_path(text: str, error: str) -> None:
    with pytest.raises((InvalidArgument, Unsupported)) as raised:
        read_documents(text)
    assert error in str(raised.value)


def test_aliases_that_multiply_are_refused_before_they_are_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidArgument, match="more than 100000 values"):
        read_documents("\n".join(lines))


def test_anchors_and_merge_keys_are_read() -> None:
    text = POD.replace("  - name: one", "  - &one\n    name: one") + "  - {<<: *one, name: two}\n"
    assert [item.name for item in _read_pod(text).spec.containers] == ["one", "two"]


@pytest.mark.parametrize(
    ("written", "value"),
    [("0644", 0o644), ("0o644", 0o644), ("420", 420), ("0x1a4", 420)],
)
def test_modes_are_read_in_every_base(written: str, value: int) -> None:
    volume = f"  volumes: [{{name: v, secret: {{secretName: s, defaultMode: {written}}}}}]\n"
    secret = _read_pod(POD + volume).spec.volumes[0].secret
    assert secret is not None
    assert secret.default_mode == value


def test_dates_and_base_60_numbers_stay_texts() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    text += "data: {day: 2024-01-01, time: 12:30:45, port: 22:22}\n"
    (document,) = read_documents(text).documents
    assert dict(document.data)["day"] == "2024-01-01"  # type: ignore[union-attr,arg-type]
    assert dict(document.data)["time"] == "12:30:45"  # type: ignore[union-attr,arg-type]


def test_json_is_read_too() -> None:
    text = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":'
    text += '[{"name":"one","image":"busybox"}]}}'
    assert _read_pod(text) == _read_pod(POD)


def test_lists_are_read_as_their_items() -> None:
    items = [yaml.safe_load(POD), yaml.safe_load(POD.replace("web", "db"))]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})
    read = read_documents(text).documents
    assert [document.metadata.name for document in read] == ["web", "db"]


def test_what_an_api_server_wrote_is_noted_and_nulls_are_absent() -> None:
    text = POD.replace("  name: web", "  name: web\n  creationTimestamp: null\n  uid: abc")
    found = read_documents(text + "    command: null\nstatus: {phase: Running}\n")
    assert [note.split(": ")[1] for note in found.notes] == ["metadata.uid", "status"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_a_name(kind: str) -> None:
    with pytest.raises(InvalidArgument, match=r"metadata(\.name)?: Required value"):
        read_documents(f"apiVersion: {KINDS[kind][0]}\nkind: {kind}\nmetadata: {{}}\n")


def test_a_written_document_reads_back() -> None:
    text = _container(
        command=["a"],
        env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
        resources={"limits": {"cpu": "250m", "memory": "64Mi"}},
        volumeMounts=[{"name": "data", "mountPath": "/x", "readOnly": True}],
        readinessProbe={"httpGet": {"port": 80, "path": "/"}, "failureThreshold": 5},
        securityContext={"runAsUser": 0, "capabilities": {"drop": ["ALL"]}},
    )
    pod = _read_pod(text)
    _, table = KINDS["Pod"]
    written = {"apiVersion": "v1", "kind": "Pod", **table.write(pod)}
    assert _read_pod(yaml.safe_dump(written)) == pod
