"""Workloads, claims and Services become pods, volumes and names; what none may grow to."""

from typing import Any

import pytest
import yaml

from hyper.core.errors import HyperError, InvalidArgument, Unsupported
from hyper.core.pod_spec import Medium, ServicePort, VolumeSource
from hyper.core.spec import MountKind, RestartPolicyName
from hyper.schema.kube.documents import read_documents
from hyper.schema.kube.persistent import Carried
from hyper.schema.kube.translate import planned_names
from hyper.schema.kube.volumes import HostPath
from tests.support import kube_bodies as bodies
from tests.support.kube_bodies import CONFIG, Body

# --- workloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (bodies.workload("Deployment", replicas=3), ["work-0", "work-1", "work-2"]),
        (bodies.workload("Deployment"), ["work-0"]),
        (bodies.workload("Deployment", replicas=0), []),
        (bodies.workload("ReplicaSet", replicas=2), ["work-0", "work-1"]),
        (bodies.workload("DaemonSet"), ["work-0"]),
        (bodies.workload("StatefulSet", replicas=2, ordinals={"start": 5}), ["work-5", "work-6"]),
        (
            bodies.workload("ReplicationController", "v1", selector={"app": "x"}, replicas=2),
            ["work-0", "work-1"],
        ),
    ],
)
def test_a_workload_is_its_pods(body: Body, names: list[str]) -> None:
    plan = bodies.plan(body)
    assert [pod.spec.name for pod in plan.pods] == names
    assert planned_names(read_documents(yaml.safe_dump(body)).documents).pods == tuple(names)
    assert all(pod.spec.labels == (("app", "x"),) for pod in plan.pods)


def test_a_job_runs_to_its_end_and_limits_restarts() -> None:
    job = bodies.workload("Job", "batch/v1", backoffLimit=4, completions=2, parallelism=2)
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    plan = bodies.plan(job)
    assert [pod.spec.follows for pod in plan.pods] == [True, True]
    policy = plan.pods[0].containers[0].spec.restart_policy
    assert (policy.name, policy.maximum_retries) == (RestartPolicyName.ON_FAILURE, 4)
    del job["spec"]["completions"]  # a work queue: as many pods as run at once
    assert [pod.spec.name for pod in bodies.plan(job).pods] == ["work-0", "work-1"]
    job["spec"]["backoffLimit"] = 0
    assert bodies.plan(job).pods[0].containers[0].spec.restart_policy.name is RestartPolicyName.NO


def test_a_stateful_set_claims_a_volume_for_each_pod() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    body = bodies.workload(
        "StatefulSet", replicas=2, volumeClaimTemplates=[claim], serviceName="db"
    )
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    plan = bodies.plan(body)
    assert [(v.name, v.size_bytes) for v in plan.volumes] == [
        ("data-work-0", 1 << 30), ("data-work-1", 1 << 30)]  # fmt: skip
    mounts = [pod.containers[0].spec.mounts[0] for pod in plan.pods]
    assert [(m.kind, m.source) for m in mounts] == [
        (MountKind.VOLUME, "data-work-0"), (MountKind.VOLUME, "data-work-1")]  # fmt: skip
    assert plan.pods[0].spec.domainname == "db.default.svc.cluster.local"
    container["volumeMounts"][0]["name"] = "other"
    with pytest.raises(InvalidArgument, match=r"volumeMounts\[0\].name: Not found: \"other\""):
        bodies.plan(body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            bodies.workload("Deployment", selector={"matchLabels": {"app": "y"}}),
            "`selector` does not match template `labels`",
        ),
        (bodies.workload("Deployment", paused=True), "spec.paused: not supported"),
        (
            bodies.workload("Job", "batch/v1"),
            "spec.template.spec.restartPolicy: Unsupported value",
        ),
        (bodies.workload("Job", "batch/v1", suspend=True), "spec.suspend: not supported"),
        (bodies.workload("StatefulSet", replicas=-1), "spec.replicas: Invalid value: -1"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(body: Body, error: str) -> None:
    with pytest.raises((InvalidArgument, Unsupported)) as raised:
        bodies.plan(body)
    assert error in str(raised.value)


def test_pods_of_an_indexed_job_know_their_index() -> None:
    job = bodies.workload("Job", "batch/v1", completions=3, parallelism=2, completionMode="Indexed")
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    pods = bodies.plan(job).pods
    assert [(pod.spec.hostname, pod.job, pod.parallelism) for pod in pods] == [
        (f"work-{index}", "work", 2) for index in range(3)
    ]
    assert "JOB_COMPLETION_INDEX=2" in pods[2].containers[0].spec.env
    assert dict(pods[2].spec.annotations)["batch.kubernetes.io/job-completion-index"] == "2"
    del job["spec"]["completions"]
    with pytest.raises(InvalidArgument, match=r"spec\.completions: Required value: when"):
        bodies.plan(job)


def test_a_job_s_deadline_is_each_pod_s_unless_that_has_an_earlier_one() -> None:
    job = bodies.workload("Job", "batch/v1", activeDeadlineSeconds=100)
    job["spec"]["template"]["spec"] |= {"restartPolicy": "Never", "activeDeadlineSeconds": 300}
    assert bodies.plan(job).pods[0].spec.deadline_s == 100
    job["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 10
    assert bodies.plan(job).pods[0].spec.deadline_s == 10
    assert bodies.plan(bodies.pod()).pods[0].spec.deadline_s == 0


def test_an_export_is_mounted_by_the_pod() -> None:
    export = {"name": "n", "nfs": {"server": "files", "path": "/data", "readOnly": True}}
    mount = [{"name": "n", "mountPath": "/n"}]
    (pod,) = bodies.plan(bodies.pod({"volumes": [export]}, volumeMounts=mount)).pods
    (volume,) = pod.spec.volumes
    assert volume.source == VolumeSource(Medium.NFS, "files:/data", read_only=True)


def test_objects_of_which_nothing_is_made_are_told() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    documents = read_documents(yaml.safe_dump_all([namespace, bodies.pod()]))
    assert len(documents.documents) == 1
    assert documents.notes == (
        "document 1: kind Namespace: has no effect: names are unique across all namespaces",
    )


def test_two_pods_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidArgument, match='Pod "web": two pods of this play are named web'):
        bodies.plan(bodies.pod(), bodies.pod())
    with pytest.raises(InvalidArgument, match="two documents are the configmap 'conf'"):
        bodies.plan(bodies.pod(), CONFIG)


def test_claims_become_volumes() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
             "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
                      "resources": {"requests": {"storage": "3Gi"}}}}  # fmt: skip
    plan = bodies.plan(claim, bodies.pod())
    assert [(v.name, v.size_bytes) for v in plan.volumes] == [("c", 3 << 30)]
    assert plan.notes == (
        'PersistentVolumeClaim "c": spec.storageClassName: has no effect: volumes are folders of '
        "hyperd",
    )


def _persistent(name: str, **spec: Any) -> Body:
    offer = {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], **spec}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": offer,
    }  # fmt: skip


def _claim(name: str, **spec: Any) -> Body:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": asked | spec,
    }  # fmt: skip


def test_a_claim_is_bound_to_the_smallest_volume_that_fits() -> None:
    plan = bodies.plan(
        _persistent("big", capacity={"storage": "9Gi"}, hostPath={"path": "/big"}),
        _persistent("small", capacity={"storage": "1Gi"}, hostPath={"path": "/small"}),
        _persistent("right", hostPath={"path": "/right"}),
        _persistent("other", storageClassName="slow", local={"path": "/other"}),
        _persistent("files", nfs={"server": "s", "path": "/x", "readOnly": True}),
        _claim("one"),
        _claim("two", storageClassName="slow"),
        _claim("three", volumeName="files"),
        _claim("four", accessModes=["ReadWriteMany"]),
    )
    carried = {volume.name: volume.carried for volume in plan.volumes}
    assert carried == {
        "one": Carried(
            "directory", (("source", "/right"),), HostPath("/right", "DirectoryOrCreate")
        ),
        "two": Carried("directory", (("source", "/other"),), HostPath("/other", "Directory")),
        "three": Carried("nfs", (("source", "s:/x"), ("readOnly", "true"))),
        "four": Carried(),
    }
    assert [note for note in plan.notes if "PersistentVolume " in note] == [
        f'PersistentVolume "{name}": has no effect: no claim of this play fits it'
        for name in ("big", "small")
    ]


@pytest.mark.parametrize(
    ("documents", "error"),
    [
        ([_claim("c", volumeName="none")], 'Claim "c": spec.volumeName: the play has no free'),
        ([_persistent("p")], '"p" is invalid: spec: Required value: one of hostPath'),
        ([_persistent("p", csi={"driver": "x"})], "spec.csi: not supported: a storage driver"),
        ([_persistent("p", hostPath={"path": "/x"}, claimRef={"name": "c"})], "spec.claimRef"),
    ],
)
def test_a_volume_that_cannot_be_is_refused(documents: list[Body], error: str) -> None:
    with pytest.raises(HyperError) as raised:
        bodies.plan(*documents, bodies.pod())
    assert error in str(raised.value)


# --- services -------------------------------------------------------------------------------------


def _service(**spec: Any) -> Body:
    body = {"selector": {"app": "x"}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": body}


NAMES = ("front", "front.default", "front.default.svc", "front.default.svc.cluster.local")


def test_a_service_is_an_address_that_its_names_lead_to() -> None:
    plan = bodies.plan(_service(sessionAffinity="ClientIP"), bodies.pod())
    (service,) = plan.services
    assert (service.network, service.selector) == ("kube", (("app", "x"),))
    assert service.names == NAMES and service.sticky
    assert service.ports == (ServicePort(80, "tcp"),)
    (endpoint,) = plan.pods[0].containers[0].spec.endpoints
    assert endpoint.aliases == tuple(f"web.{name}" for name in NAMES)


def test_a_headless_service_is_a_name_of_the_pods_it_selects() -> None:
    other = bodies.pod()
    other["metadata"] = {"name": "other", "labels": {"app": "y"}}
    plan = bodies.plan(_service(clusterIP="None"), bodies.pod(), other)
    (service,) = plan.services
    assert service.headless and service.names == NAMES and not service.unready
    assert plan.named and not bodies.plan(bodies.pod()).named
    assert [pod.spec.network_mode for pod in plan.pods] == ["kube", "kube"]
    served, unserved = (pod.containers[0].spec.endpoints for pod in plan.pods)
    assert served[0].aliases == tuple(f"web.{name}" for name in NAMES)
    assert unserved == ()
    assert plan.notes == ()
    (alone,) = bodies.plan(_service(clusterIP="None", ports=[])).services
    assert alone.headless and alone.ports == ()


def test_ports_of_a_service_have_targets_and_ports_of_the_host() -> None:
    ports = [
        {"name": "a", "port": 80, "targetPort": "http", "nodePort": 30007},
        {"name": "b", "port": 53, "targetPort": 5353, "protocol": "UDP"},
    ]
    pod = bodies.pod(ports=[{"containerPort": 8080, "name": "http"}])
    plan = bodies.plan(_service(type="NodePort", ports=ports), pod)
    assert plan.services[0].ports == (
        ServicePort(80, "tcp", "http", 30007),
        ServicePort(53, "udp", "5353", -1),
    )
    assert plan.pods[0].spec.port_names == (("http", "8080"),)
    (service,) = bodies.plan(_service(type="LoadBalancer"), pod).services
    assert [port.host_port for port in service.ports] == [80]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"type": "ExternalName"}, "spec.type: not supported: ExternalName: use hostAliases"),
        ({"clusterIP": "10.0.0.1"}, "spec.clusterIP: not supported: 10.0.0.1: addresses are"),
        ({"selector": {}}, "spec.selector: not supported: without one there are no pods"),
        ({"externalName": "x.example"}, "spec.externalName: not supported"),
        ({"externalIPs": ["192.0.2.1"]}, "spec.externalIPs: not supported"),
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 80, "nodePort": 30007}]},
         "spec.ports[0].nodePort: Invalid value: 30007: may not be used when type is ClusterIP"),
        ({"type": "NodePort", "clusterIP": "None"}, "spec.clusterIP: Invalid value"),
    ],
)  # fmt: skip
def test_what_a_service_cannot_be_is_refused_with_its_path(spec: Body, error: str) -> None:
    with pytest.raises(HyperError) as raised:
        bodies.plan(_service(**spec), bodies.pod())
    assert error in str(raised.value)


# --- manifests that would fill the memory ---------------------------------------------------------


def test_references_to_references_do_not_grow_without_end() -> None:
    env = [{"name": "V0", "value": "x" * 1000}]
    env += [{"name": f"V{n}", "value": f"$(V{n - 1})" * 10} for n in range(1, 30)]
    with pytest.raises(InvalidArgument, match=r"env\[3\]\.value: .*longer than 131072 bytes"):
        bodies.planned(env=env)
    long = [{"name": "LONG", "value": "x" * 100_000}]
    with pytest.raises(InvalidArgument, match=r"args\[0\]: .*longer than 131072 bytes"):
        bodies.planned(env=long, args=["$(LONG)" * 100_000])


def test_one_config_map_in_many_volumes_is_counted_each_time() -> None:
    big = {**CONFIG, "data": {"a": "x" * 1_000_000}, "binaryData": {}}
    volumes = [{"name": f"v{n}", "configMap": {"name": "conf"}} for n in range(20)]
    with pytest.raises(InvalidArgument, match=r"volumes\[16\]\.configMap: .*16777216 bytes in a"):
        bodies.plan(bodies.pod({"volumes": volumes}), configuration=(big,))
    with pytest.raises(InvalidArgument, match="variables of more than 524288 bytes"):
        bodies.plan(bodies.pod(envFrom=[{"configMapRef": {"name": "conf"}}]), configuration=(big,))


def test_numbers_of_pods_and_containers_are_bounded() -> None:
    with pytest.raises(InvalidArgument, match=r"replicas: .*less than or equal to 250"):
        bodies.plan(bodies.workload("Deployment", replicas=2_000_000_000))
    many = [bodies.workload("Deployment", replicas=250) for _ in range(2)]
    many[1]["metadata"] = {"name": "more"}
    with pytest.raises(InvalidArgument, match="a play has at most 250 pods"):
        bodies.plan(*many)
    crowd = [{"name": f"c{n}", "image": "x"} for n in range(101)]
    with pytest.raises(InvalidArgument, match="must have at most 100 containers"):
        bodies.planned({"containers": crowd})
