"""From Kubernetes documents to Hyper's pods: what each field becomes."""

import copy
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hyper.core.errors import HyperError, InvalidArgument, Unsupported
from hyper.core.pod_spec import ActionKind, Medium, Role
from hyper.core.spec import MountKind
from hyper.schema.kube import report
from hyper.schema.kube.documents import read_documents
from hyper.schema.kube.fields import Table
from hyper.schema.kube.translate import make_plan
from tests.support import kube_bodies as bodies
from tests.support.kube_bodies import Body


def _env(container: Body, spec: Body | None = None) -> dict[str, str]:
    found = bodies.planned(spec, **container).containers[0].spec.env
    return dict(entry.split("=", 1) for entry in found)


# --- no field is lost: each that acts has a sample, and each sample changes the plan ------------

_ACTION = {"httpGet": {"port": "http", "path": "/x"}}
_BASE = bodies.pod(
    {
        "volumes": [{"name": "data"}, {"name": "conf", "configMap": {"name": "conf"}},
                    {"name": "hush", "secret": {"secretName": "hush"}},
                    {"name": "down", "downwardAPI": {"items": []}},
                    {"name": "all", "projected": {"sources": []}},
                    {"name": "host", "hostPath": {"path": "/srv"}},
                    {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}],
        "initContainers": [{"name": "first", "image": "busybox"}],
        "dnsConfig": {"options": [{"name": "ndots"}]},
        "hostAliases": [{"ip": "1.2.3.4"}],
        "securityContext": {"sysctls": [{"name": "a", "value": "b"}]},
    },
    ports=[{"containerPort": 80, "name": "http", "hostPort": 8080}],
    env=[{"name": "A", "value": "1"}],
    volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in
                  ("data", "conf", "hush", "down", "all", "host", "claim")],
    livenessProbe={"httpGet": {"port": 80, "path": "/"}},
    lifecycle={"preStop": {"exec": {"command": ["a"]}}},
)  # fmt: skip
_CONTAINER = "spec.containers.0"
_PROBE = f"{_CONTAINER}.livenessProbe"
SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "metadata": ("metadata", {"name": "other", "labels": {"z": "1"}, "annotations": {"z": "1"},
                              "namespace": None}),
    "pod spec": ("spec", {
        "containers": [{"name": "x", "image": "y"}],
        "initContainers": [{"name": "x", "image": "y"}],
        "volumes": [*_BASE["spec"]["volumes"], {"name": "more"}],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 3,
        "activeDeadlineSeconds": 9,
        "hostname": "h",
        "subdomain": "s",
        "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["x"]}],
        "dnsPolicy": None,
        "dnsConfig": {"searches": ["x"]},
        "securityContext": {"runAsUser": 5},
        "shareProcessNamespace": True,
        "resources": {"limits": {"cpu": 2}},
        "serviceAccountName": None,
    }),
    "container": (_CONTAINER, {
        "name": "other", "image": "other", "imagePullPolicy": "Always", "command": ["c"],
        "args": ["a"], "workingDir": "/w", "env": [], "ports": [{"containerPort": 80,
                                                                "name": "http"}],
        "envFrom": [{"configMapRef": {"name": "conf"}}],
        "resources": {"limits": {"cpu": 1}}, "volumeMounts": [],
        "livenessProbe": _ACTION, "readinessProbe": _ACTION, "startupProbe": _ACTION,
        "lifecycle": {"stopSignal": "SIGINT"}, "securityContext": {"privileged": True},
        "stdin": True, "stdinOnce": True, "tty": True,
    }),
    "initContainer": ("spec.initContainers.0", {
        "name": "other", "image": "other", "imagePullPolicy": "Always", "command": ["c"],
        "args": ["a"], "workingDir": "/w", "env": [{"name": "B", "value": "x"}],
        "ports": [{"containerPort": 80}], "envFrom": [{"configMapRef": {"name": "conf"}}],
        "resources": {"limits": {"cpu": 1}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "livenessProbe": None, "readinessProbe": None, "startupProbe": None, "lifecycle": None,
        "securityContext": {"privileged": True}, "stdin": True, "stdinOnce": True, "tty": True,
        "restartPolicy": "Always",
    }),
    "env[]": (f"{_CONTAINER}.env.0", {"name": "B", "value": "2", "valueFrom": None}),
    "ports[]": (f"{_CONTAINER}.ports.0", {"containerPort": 81, "name": None, "hostPort": 81,
                                          "hostIP": "127.0.0.1", "protocol": "UDP"}),
    "resources": (f"{_CONTAINER}.resources", {"limits": {"memory": 5}, "requests": {"cpu": 1}}),
    "volumeMounts[]": (f"{_CONTAINER}.volumeMounts.0", {
        "name": "conf", "mountPath": "/x", "subPath": "s", "subPathExpr": "$(A)",
        "readOnly": True, "mountPropagation": None}),
    "probe": (_PROBE, {
        "exec": None, "httpGet": {"port": 1}, "tcpSocket": None, "grpc": None,
        "initialDelaySeconds": 5,
        "timeoutSeconds": 5, "periodSeconds": 5, "successThreshold": None, "failureThreshold": 5,
        "terminationGracePeriodSeconds": 5}),
    "grpc": (f"{_PROBE.rsplit('.', 1)[0]}.readinessProbe.grpc", {"port": 9, "service": "s"}),
    "httpGet": (f"{_PROBE}.httpGet", {"port": 8, "path": "/p", "host": "h", "scheme": None,
                                      "httpHeaders": [{"name": "a", "value": "b"}]}),
    "lifecycle": (f"{_CONTAINER}.lifecycle", {
        "postStart": {"sleep": {"seconds": 1}}, "preStop": {"sleep": {"seconds": 1}},
        "stopSignal": "SIGINT"}),
    "exec": (f"{_CONTAINER}.lifecycle.preStop.exec", {"command": ["b"]}),
    "securityContext": (f"{_CONTAINER}.securityContext", {
        "runAsUser": 1, "runAsGroup": None, "runAsNonRoot": True,
        "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": None,
        "capabilities": {"add": ["NET_ADMIN"]}, "privileged": True,
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "procMount": "Unmasked"}),
    "capabilities": (f"{_CONTAINER}.securityContext.capabilities", {"add": ["X"], "drop": ["X"]}),
    "pod securityContext": ("spec.securityContext", {
        "runAsUser": 1, "runAsGroup": None, "runAsNonRoot": True,
        "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": None, "fsGroup": 7,
        "supplementalGroups": [8], "supplementalGroupsPolicy": None, "sysctls": []}),
    "sysctls[]": ("spec.securityContext.sysctls.0", {"name": "x", "value": "x"}),
    "hostAliases[]": ("spec.hostAliases.0", {"ip": None, "hostnames": ["x"]}),
    "dnsConfig": ("spec.dnsConfig", {"nameservers": ["9.9.9.9"], "searches": ["x"],
                                     "options": []}),
    "dnsConfig.options[]": ("spec.dnsConfig.options.0", {"name": "x", "value": "x"}),
    "emptyDir": (
        "spec.volumes.0.emptyDir",
        {"medium": "Memory", "sizeLimit": "1Mi", "mode": 0o1777},
    ),
    "configMap": ("spec.volumes.1.configMap", {
        "name": "other", "items": [{"key": "a", "path": "x"}], "defaultMode": 0o600,
        "optional": None}),
    "secret": ("spec.volumes.2.secret", {
        "secretName": "other", "items": [{"key": "user", "path": "x"}], "defaultMode": 0o600,
        "optional": None}),
    "downwardAPI": ("spec.volumes.3.downwardAPI", {
        "items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}],
        "defaultMode": None}),
    "projected": ("spec.volumes.4.projected", {
        "sources": [{"configMap": {"name": "conf"}}], "defaultMode": None}),
    "hostPath": ("spec.volumes.5.hostPath", {"path": "/x", "type": "Directory"}),
    "persistentVolumeClaim": ("spec.volumes.6.persistentVolumeClaim", {
        "claimName": "d", "readOnly": True}),
}  # fmt: skip


def _cases() -> Iterator[Any]:
    for title, (path, values) in SAMPLES.items():
        for name, value in values.items():
            if value is not None:
                yield pytest.param(path, name, value, id=f"{title}.{name}")


def _outcome(body: Body) -> object:
    """Return what a play makes of a document; an error is an outcome too: nothing was dropped."""
    try:
        plan = bodies.plan(body)
    except HyperError as err:
        return str(err)
    return plan.volumes, plan.pods


@pytest.mark.parametrize(("path", "name", "value"), list(_cases()))
def test_a_field_that_acts_changes_the_plan(path: str, name: str, value: object) -> None:
    changed = copy.deepcopy(_BASE)
    target: Any = changed
    for part in path.split("."):
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    if name == "subPathExpr":
        target.pop("subPath", None)
    assert target.get(name) != value
    target[name] = value
    assert _outcome(changed) != _outcome(_BASE)


@pytest.mark.parametrize(
    "table", [table for table in report._tables() if table.title in SAMPLES], ids=lambda t: t.title
)
def test_every_field_that_acts_has_a_sample(table: Table[Any]) -> None:
    read = {field.name for field in table.fields if field.codec}
    if table.title == "downwardAPI" and "defaultMode" not in read:
        read.add("defaultMode")
    if table.title == "container":
        read.discard("restartPolicy")
    sampled = set(SAMPLES[table.title][1])
    if table.title == "volumes[]":
        return
    assert read == sampled


# --- commands, variables ------------------------------------------------------------------------


def test_command_and_args_replace_entrypoint_and_cmd() -> None:
    spec = bodies.planned(command=["sleep"], args=["$(T)"], env=[{"name": "T", "value": "5"}])
    container = spec.containers[0].spec
    assert (container.entrypoint, container.command) == (("sleep",), ("5",))
    assert bodies.planned(args=["x"]).containers[0].spec.entrypoint is None
    assert bodies.planned(command=["x"]).containers[0].spec.command is None


def test_variables_refer_to_earlier_ones_only() -> None:
    env = [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "b"},
           {"name": "C", "value": "$(B)$(b.txt)"}]  # fmt: skip
    assert _env({"env": env}) == {"A": "$(B)", "B": "b", "C": "b$(b.txt)"}


def test_env_wins_over_env_from_and_later_bundles_over_earlier() -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"},
           "data": {"A": "1", "B": "1", "C": "1"}}  # fmt: skip
    two = {**one, "metadata": {"name": "two"}, "data": {"B": "2", "C": "2"}}
    container = {
        "envFrom": [{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "two"}}],
        "env": [{"name": "C", "value": "3"}],
    }
    (pod,) = bodies.plan(bodies.pod(**container), one, two).pods
    assert set(pod.containers[0].spec.env) == {"A=1", "B=2", "C=3"}


def test_values_come_from_config_maps_secrets_and_the_pod() -> None:
    def ref(**source: object) -> dict[str, object]:
        return {"valueFrom": source}

    env = [
        {"name": "MAP", **ref(configMapKeyRef={"name": "conf", "key": "a"})},
        {"name": "SECRET", **ref(secretKeyRef={"name": "hush", "key": "password"})},
        {"name": "USER", **ref(secretKeyRef={"name": "hush", "key": "user"})},
        {"name": "GONE", **ref(secretKeyRef={"name": "no", "key": "x", "optional": True})},
        {"name": "NAME", **ref(fieldRef={"fieldPath": "metadata.name"})},
        {"name": "SPACE", **ref(fieldRef={"fieldPath": "metadata.namespace"})},
        {"name": "LABEL", **ref(fieldRef={"fieldPath": "metadata.labels['app']"})},
        {"name": "NOTE", **ref(fieldRef={"fieldPath": "metadata.annotations['note']"})},
        {"name": "NODE", **ref(fieldRef={"fieldPath": "spec.nodeName"})},
        {"name": "ACCOUNT", **ref(fieldRef={"fieldPath": "spec.serviceAccountName"})},
        {"name": "CPU", **ref(resourceFieldRef={"resource": "limits.cpu"})},
        {"name": "MEMORY", **ref(resourceFieldRef={"resource": "requests.memory",
                                                  "divisor": "1Mi"})},
    ]  # fmt: skip
    limits = {"limits": {"cpu": "250m", "memory": "64Mi"}}
    assert _env({"env": env, "resources": limits}) == {
        "MAP": "1", "SECRET": "s3cret", "USER": "admin", "NAME": "web", "SPACE": "default",
        "LABEL": "x", "NOTE": "n", "NODE": "host", "ACCOUNT": "default", "CPU": "1",
        "MEMORY": "64",
    }  # fmt: skip


def test_the_address_of_the_pod_is_left_to_its_start() -> None:
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    spec = bodies.planned(env=env).containers[0].spec
    assert (spec.address_env, spec.env) == (("IP",), ())


def test_a_missing_config_map_is_named() -> None:
    with pytest.raises(InvalidArgument) as raised:
        bodies.plan(bodies.pod(envFrom=[{"configMapRef": {"name": "none"}}]))
    assert str(raised.value) == (
        'Pod "web" is invalid: spec.containers[0].envFrom[0].configMapRef.name: Invalid value: '
        '"none": configmap "none" not found: it must be among the documents that are played, or '
        "be given with --configmap"
    )


def test_a_container_without_limits_has_those_of_its_machine() -> None:
    def value(resource: str, spec: Body) -> str:
        reference = {"resourceFieldRef": {"resource": resource}}
        body = bodies.pod(spec, env=[{"name": "X", "valueFrom": reference}])
        documents = read_documents(yaml.safe_dump(body)).documents
        sizes = {"cpu": 2, "memory": 512 << 20}
        (made,) = make_plan(documents, node_sizes=sizes).pods
        return made.containers[0].spec.env[0]

    assert value("limits.cpu", {}) == "X=2"
    assert value("limits.memory", {}) == f"X={512 << 20}"
    assert value("limits.memory", {"resources": {"limits": {"memory": "1Gi"}}}) == f"X={1 << 30}"
    assert value("requests.cpu", {}) == "X=0"


@pytest.mark.parametrize(
    ("without", "error"),
    [(("runAsUser", "runAsGroup"), "securityContext.runAsUser"),
     (("runAsGroup",), "securityContext.runAsGroup")],
)  # fmt: skip
def test_strict_groups_need_a_user_and_a_group(without: tuple[str, ...], error: str) -> None:
    security = {"runAsUser": 1, "runAsGroup": 2, "supplementalGroups": [3]}
    strict = security | {"supplementalGroupsPolicy": "Strict"}
    spec = bodies.planned({"securityContext": strict}).containers[0].spec
    assert (spec.user, spec.groups) == ("1:2", ("3",))
    for name in without:
        del strict[name]
    with pytest.raises(InvalidArgument, match=error):
        bodies.planned({"securityContext": strict})


def test_an_apparmor_profile_by_annotation_is_refused_as_its_field_is() -> None:
    body = bodies.pod()
    key = "container.apparmor.security.beta.kubernetes.io/one"
    body["metadata"]["annotations"] = {key: "localhost/deny-write"}
    with pytest.raises(Unsupported, match=r"metadata.annotations.*AppArmor"):
        bodies.plan(body)
    body["metadata"]["annotations"] = {key: "unconfined"}
    assert bodies.plan(body).pods


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ({"configMapKeyRef": {"name": "conf", "key": "z"}}, "couldn't find key z in configmap"),
        ({"fieldRef": {"fieldPath": "metadata.uid"}}, "a pod has no uid of its own"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "does not learn the addresses"),
        ({"fieldRef": {"fieldPath": "spec.foo"}}, 'Unsupported value: "spec.foo"'),
        (
            {"resourceFieldRef": {"resource": "limits.ephemeral-storage"}},
            "container one does not set it",
        ),
        ({"configMapKeyRef": {"name": "conf", "key": "bin"}}, "its value is no text"),
    ],
)
def test_a_reference_to_nothing_is_refused(reference: Body, error: str) -> None:
    with pytest.raises((InvalidArgument, Unsupported)) as raised:
        _env({"env": [{"name": "X", "valueFrom": reference}]})
    assert error in str(raised.value)
    assert "spec.containers[0].env[0].valueFrom." in str(raised.value)


# --- users, limits, policies ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "own", "user"),
    [
        ({}, {}, ""),
        ({"runAsUser": 1000}, {}, "1000"),
        ({"runAsUser": 1000, "runAsGroup": 3000}, {}, "1000:3000"),
        ({"runAsUser": 1000}, {"runAsUser": 0}, "0"),
        ({"runAsUser": 1000}, {"runAsGroup": 5}, "1000:5"),
    ],
)
def test_the_user_is_the_containers_or_the_pods(pod: Body, own: Body, user: str) -> None:
    planned = bodies.planned({"securityContext": pod}, securityContext=own)
    assert planned.containers[0].spec.user == user


def test_fs_group_is_a_group_of_processes_and_owner_of_files() -> None:
    volumes = [{"name": "s", "secret": {"secretName": "hush", "defaultMode": 0o400}},
               {"name": "e", "emptyDir": {"medium": "Memory"}}]  # fmt: skip
    pod = bodies.planned({"securityContext": {"fsGroup": 7, "supplementalGroups": [8]},
                    "volumes": volumes})  # fmt: skip
    assert pod.containers[0].spec.groups == ("8", "7")
    secret, empty = pod.spec.volumes
    assert {(file.mode, file.owner) for file in secret.source.files} == {(0o440, "0:7")}
    assert empty.source.options == "mode=2777,gid=7"


def test_limits_and_requests() -> None:
    resources = {"limits": {"cpu": "500m", "memory": "64Mi", "ephemeral-storage": "2Gi"},
                 "requests": {"cpu": "250m", "memory": "32Mi"}}  # fmt: skip
    spec = bodies.planned(resources=resources).containers[0].spec
    found = spec.resources
    assert (found.cpus, found.cpu_shares) == (0.5, 256)
    assert (found.memory_bytes, found.memory_reservation_bytes) == (64 << 20, 32 << 20)
    assert spec.storage_size_bytes == 2 << 30


def test_limits_of_the_pod_are_those_of_its_vm() -> None:
    pod = bodies.planned({"resources": {"limits": {"cpu": "1500m", "memory": "200M"}}}).spec
    assert (pod.vcpus, pod.memory_bytes) == (2, 191 << 20)


@pytest.mark.parametrize(
    ("policy", "expected", "follows"),
    [("Always", "always", False), ("OnFailure", "on-failure", True), ("Never", "no", True)],
)
def test_restart_policies(policy: str, expected: str, follows: bool) -> None:
    members = [{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}]
    pod = bodies.planned({"restartPolicy": policy, "initContainers": members})
    names = [item.spec.restart_policy.name for item in pod.containers]
    first = "no" if policy == "Never" else "on-failure"
    assert names == [first, "always", expected]
    assert [item.spec.role for item in pod.containers] == [Role.INIT, Role.SIDECAR, Role.MAIN]
    assert pod.spec.follows is follows


def test_probes_and_hooks_become_actions() -> None:
    spec = bodies.planned(
        ports=[{"containerPort": 8080, "name": "web"}],
        livenessProbe={"httpGet": {"port": "web", "path": "x",
                                   "httpHeaders": [{"name": "H", "value": "v"}]}},
        readinessProbe={"tcpSocket": {"port": 5}, "periodSeconds": 2},
        startupProbe={"exec": {"command": ["ok"]}, "failureThreshold": 30},
        lifecycle={"postStart": {"exec": {"command": ["hi"]}},
                   "preStop": {"sleep": {"seconds": 3}}},
    ).containers[0].spec  # fmt: skip
    probes, hooks = spec.probes, spec.hooks
    assert probes.liveness and probes.readiness and probes.startup
    action = probes.liveness.action
    assert (action.kind, action.port, action.path) == (ActionKind.HTTP, 8080, "/x")
    assert action.headers == (("H", "v"),)
    assert (probes.readiness.action.kind, probes.readiness.period_s) == (ActionKind.TCP, 2.0)
    assert probes.startup.failure_threshold == 30
    assert hooks.post_start and hooks.post_start.command == ("hi",)
    assert hooks.pre_stop and hooks.pre_stop.seconds == 3.0


# --- volumes --------------------------------------------------------------------------------------


def test_volumes_become_volumes_of_the_pod_and_mounts() -> None:
    volumes = [
        {"name": "disk", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi", "mode": 0o1777}},
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "host", "hostPath": {"path": "/srv", "type": "Directory"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
    ]
    mounts = [{"name": item["name"], "mountPath": f"/{item['name']}"} for item in volumes]
    pod = bodies.planned({"volumes": volumes}, volumeMounts=mounts)
    media = {volume.name: volume.source.medium for volume in pod.spec.volumes}
    assert media == {"disk": Medium.DISK, "mem": Medium.MEMORY, "conf": Medium.MEMORY}
    assert [item.source.size_bytes >> 20 for item in pod.spec.volumes[:2]] == [32, 1]
    assert [item.source.options for item in pod.spec.volumes[:2]] == ["mode=0777", "mode=1777"]
    found = [(m.kind, m.source, m.read_only) for m in pod.containers[0].spec.mounts]
    assert found == [
        (MountKind.POD, "disk", False),
        (MountKind.POD, "mem", False),
        (MountKind.POD, "conf", True),
        (MountKind.BIND, "/srv", False),
        (MountKind.VOLUME, "c", True),
    ]
    assert [path.type for path in pod.host_paths] == ["Directory"]


def _files(volume: Body) -> dict[str, tuple[bytes, int]]:
    pod = bodies.planned({"volumes": [{"name": "v", **volume}]})
    files = pod.spec.volumes[0].source.files
    return {file.path: (b64decode(file.content), file.mode) for file in files}


def test_config_maps_and_secrets_become_files() -> None:
    assert _files({"configMap": {"name": "conf", "defaultMode": 0o600}}) == {
        "a": (b"1", 0o600), "b.txt": (b"two", 0o600), "bin": (b"\xff\x00", 0o600),
    }  # fmt: skip
    items = [{"key": "password", "path": "deep/er", "mode": 0o400}]
    assert _files({"secret": {"secretName": "hush", "items": items}}) == {
        "deep/er": (b"s3cret", 0o400)
    }
    assert _files({"configMap": {"name": "none", "optional": True}}) == {}


def test_the_downward_api_writes_labels_as_kubernetes_does() -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
             {"path": "cpu", "resourceFieldRef": {"containerName": "one", "divisor": "1m",
                                                  "resource": "limits.cpu"}}]  # fmt: skip
    pod = bodies.pod({"volumes": [{"name": "v", "downwardAPI": {"items": items}}]},
               resources={"limits": {"cpu": "500m"}})  # fmt: skip
    pod["metadata"]["labels"] = {"b": "2", "a": "1"}
    (planned,) = bodies.plan(pod).pods
    found = {file.path: b64decode(file.content) for file in planned.spec.volumes[0].source.files}
    assert found == {"labels": b'a="1"\nb="2"', "cpu": b"500"}


def test_projected_sources_share_a_folder_and_may_not_collide() -> None:
    sources = [{"configMap": {"name": "conf", "items": [{"key": "a", "path": "a"}]}},
               {"secret": {"name": "hush", "items": [{"key": "user", "path": "u"}]}},
               {"downwardAPI": {"items": [{"path": "n", "fieldRef": {
                   "fieldPath": "metadata.name"}}]}}]  # fmt: skip
    assert set(_files({"projected": {"sources": sources}})) == {"a", "u", "n"}
    with pytest.raises(InvalidArgument, match="conflicting duplicate paths"):
        _files({"projected": {"sources": [sources[0], sources[0]]}})


def test_a_sub_path_expression_stays_in_its_volume() -> None:
    mount = {"name": "data", "mountPath": "/d", "subPathExpr": "x/$(N)"}
    spec = {"volumes": [{"name": "data"}]}
    good = bodies.planned(spec, env=[{"name": "N", "value": "n"}], volumeMounts=[mount])
    assert good.containers[0].spec.mounts[0].subpath == "x/n"
    for value in ("../..", "$(M)"):
        with pytest.raises(InvalidArgument, match="is no path within the volume"):
            bodies.planned(spec, env=[{"name": "N", "value": value}], volumeMounts=[mount])
