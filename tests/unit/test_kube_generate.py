"""`generate kube` writes manifests that play back to the same pods."""

from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.core import pod_spec as model
from hyper.core.pod_spec import InjectedFile, Medium, PodPort, PodSpec, PodVolume, Role
from hyper.core.spec import (
    ContainerSpec,
    Healthcheck,
    LogSpec,
    Mount,
    MountKind,
    PortBinding,
    Resources,
    RestartPolicy,
    RestartPolicyName,
    Rlimit,
    Security,
)
from hyper.schema.kube.documents import read_documents
from hyper.schema.kube.generate import KnownPod, generate
from hyper.schema.kube.text import dump_all, load_all
from hyper.schema.kube.translate import make_plan

MANIFESTS = sorted((Path(__file__).parents[1] / "kube" / "manifests").glob("*.yaml"))


def _played(text: str) -> list[KnownPod]:
    plan = make_plan(read_documents(text).documents, node_name="host")
    return [KnownPod(pod.spec, tuple(item.spec for item in pod.containers)) for pod in plan.pods]


def _plain(pod: KnownPod) -> KnownPod:
    """Return a pod without types of host paths, which are judged at the play only, and without a
    host name that is the pod's name, which is the default.
    """
    containers = tuple(
        replace(item, mounts=tuple(replace(m, create_source=False) for m in item.mounts))
        for item in pod.containers
    )
    hostname = "" if pod.spec.hostname == pod.spec.name else pod.spec.hostname
    return KnownPod(replace(pod.spec, hostname=hostname), containers)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_played_manifest_generates_an_equal_one(path: Path) -> None:
    pods = _played(path.read_text())
    text = generate(pods)
    again = _played(text)
    if path.stem == "job-retried":  # a Pod has no limit of restarts
        assert "Not in it: stubborn-0: restart_policy.maximum_retries of container" in text
        return
    if path.stem == "service-headless":  # names are of Services, which are not written
        assert "Not in it: hello-0: endpoints of container hello\n" in text
        return
    assert "Not in it" not in text
    assert [_plain(pod) for pod in again] == [_plain(pod) for pod in pods]
    assert generate(again) == text


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
_ACTIONS = st.one_of(
    st.builds(
        model.Action, st.just(model.ActionKind.EXEC), st.lists(_WORDS, min_size=1).map(tuple)
    ),
    st.builds(
        model.Action,
        st.just(model.ActionKind.HTTP),
        port=st.integers(1, 65535),
        path=_NAMES.map(lambda name: f"/{name}"),
        headers=st.lists(st.tuples(_NAMES, _WORDS), max_size=2).map(tuple),
    ),
)
_PROBES = st.builds(
    model.Probe,
    _ACTIONS
    | st.builds(
        model.Action,
        st.just(model.ActionKind.GRPC),
        port=st.integers(1, 65535),
        service=st.just("") | _NAMES,
    ),
    st.integers(0, 99).map(float),
    st.integers(1, 99).map(float),
    st.integers(1, 99).map(float),
    failure_threshold=st.integers(1, 9),
    termination_grace_s=st.none() | st.integers(1, 9).map(float),
)
_HOOKS = st.builds(
    model.Hooks,
    post_start=st.none() | _ACTIONS,
    pre_stop=st.none()
    | st.integers(0, 9).map(lambda s: model.Action(model.ActionKind.SLEEP, seconds=float(s))),
)
_ENV = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_.]{0,5}", fullmatch=True), _WORDS, max_size=3
).map(lambda found: tuple(f"{name}={value}" for name, value in found.items()))
_PATHS = _NAMES.map(lambda name: f"/{name}")
_FILES = st.lists(
    st.builds(
        InjectedFile,
        _NAMES | st.just("deep/er") | st.just(".hidden"),
        st.binary(max_size=8).map(lambda data: b64encode(data).decode()),
        st.sampled_from([0o400, 0o644, 0o777]),
    ),
    max_size=2,
    unique_by=lambda file: file.path,
).map(tuple)
_SOURCES = st.one_of(
    st.builds(model.VolumeSource, st.just(Medium.MEMORY), options=st.just("mode=0755"),
              files=_FILES),
    st.builds(model.VolumeSource, st.just(Medium.DISK),
              options=st.sampled_from(["mode=0777", "mode=1777"]),
              size_bytes=st.just(0) | st.integers(2**25, 2**40)),
    st.builds(model.VolumeSource, st.just(Medium.MEMORY), options=st.just("mode=0777"),
              size_bytes=st.integers(0, 2**40)),
)  # fmt: skip


def _mounts(volumes: tuple[PodVolume, ...]) -> st.SearchStrategy[tuple[Mount, ...]]:
    kinds = [
        st.builds(Mount, st.just(MountKind.VOLUME), _PATHS, _NAMES.map(lambda n: f"v{n}"),
                  st.booleans(), copy=st.just(False)),
        st.builds(Mount, st.just(MountKind.BIND), _PATHS, _PATHS, st.booleans(),
                  create_source=st.just(True)),
    ]  # fmt: skip
    for volume in volumes:
        shown = volume.source.options == "mode=0755"
        kinds.append(
            st.builds(Mount, st.just(MountKind.POD), _PATHS, st.just(volume.name), st.just(shown))
        )
    return st.lists(st.one_of(kinds), max_size=3, unique_by=lambda m: m.destination).map(tuple)


@st.composite
def _pods(draw: st.DrawFn) -> KnownPod:
    names = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
    volumes = tuple(
        PodVolume(name, draw(_SOURCES)) for name in draw(st.lists(_NAMES, max_size=2, unique=True))
    )
    policy = draw(st.sampled_from(["always", "no", "on-failure"]))
    labels = tuple(draw(st.dictionaries(_NAMES, _NAMES, max_size=2)).items())
    containers = []
    for at, name in enumerate(names):
        own = RestartPolicyName(policy)
        role = Role.MAIN
        if at < len(names) - 1 and draw(st.booleans()) and all(
            item.role is not Role.MAIN for item in containers
        ):  # fmt: skip
            role, own = Role.SIDECAR, RestartPolicyName.ALWAYS
        cpus = draw(st.sampled_from([0.0, 0.25, 1.5]))
        memory = draw(st.sampled_from([0, 64 << 20, 100_000_001]))
        shares = int(cpus * 1024)
        containers.append(
            ContainerSpec(
                image=draw(_NAMES),
                entrypoint=draw(st.none() | st.lists(_WORDS, min_size=1, max_size=2).map(tuple)),
                command=draw(st.none() | st.lists(_WORDS, min_size=1, max_size=2).map(tuple)),
                env=draw(_ENV),
                working_dir=draw(st.just("") | _PATHS),
                user=draw(st.sampled_from(["", "0", "1000", "1000:3000"])),
                groups=("7",),
                labels=labels,
                tty=draw(st.booleans()),
                open_stdin=draw(st.booleans()),
                read_only_root=draw(st.booleans()),
                restart_policy=RestartPolicy(own),
                mounts=draw(_mounts(volumes)),
                exposed_ports=tuple(
                    f"{n}/{p}" for n, p in draw(st.sets(st.tuples(
                        st.integers(1, 9), st.sampled_from(["tcp", "udp"])), max_size=2))
                ),
                extra_hosts=("a:1.1.1.1", "b:1.1.1.1", "c:2.2.2.2", "d:1.1.1.1"),
                dns=("9.9.9.9",),
                dns_options=("ndots:2", "edns0"),
                resources=Resources(
                    cpus=cpus, cpu_shares=shares, memory_bytes=memory,
                    memory_reservation_bytes=memory // 2,
                ),
                security=Security(
                    cap_drop=draw(st.sampled_from([(), ("ALL",)])),
                    no_new_privileges=draw(st.booleans()),
                    seccomp=draw(st.sampled_from(["", "unconfined"])),
                ),
                log=LogSpec(""),
                name_in_pod=name,
                role=role,
                probes=model.Probes(*(draw(st.none() | _PROBES) for _ in range(2))),
                hooks=draw(_HOOKS),
            )
        )  # fmt: skip
    spec = PodSpec(
        name=draw(_NAMES),
        vcpus=draw(st.integers(0, 4)),
        memory_bytes=draw(st.integers(0, 4)) << 27,
        follows=policy != "always",
        labels=labels,
        annotations=tuple(draw(st.dictionaries(_NAMES, _WORDS, max_size=2)).items()),
        share_pid=draw(st.booleans()),
        volumes=volumes,
        grace_s=float(draw(st.integers(0, 99))),
    )
    return KnownPod(spec, tuple(containers))


@settings(max_examples=30, deadline=None)
@given(_pods())
def test_any_pod_a_manifest_can_say_comes_back(pod: KnownPod) -> None:
    text = generate([pod])
    assert "Not in it" not in text, text
    (again,) = _played(text)
    again = replace(
        again,
        containers=tuple(
            replace(item, security=replace(item.security, options=())) for item in again.containers
        ),
    )
    order = {item.name_in_pod: item for item in again.containers}
    ours = sorted(pod.containers, key=lambda item: list(order).index(item.name_in_pod))
    for one, other in zip(ours, again.containers, strict=True):
        assert set(one.exposed_ports) == set(other.exposed_ports)
        assert replace(one, exposed_ports=()) == replace(other, exposed_ports=())
    assert replace(again.spec, network_mode="default") == pod.spec
    assert generate([again]) == text


def test_memory_and_unnamed_volumes_of_a_container_become_emptydirs() -> None:
    mounts = (
        Mount(MountKind.TMPFS, "/a", options=("size=1m", "mode=700")),
        Mount(MountKind.TMPFS, "/b", size_bytes=2 << 20),
        Mount(MountKind.VOLUME, "/c"),
        Mount(MountKind.VOLUME, "/d", "kept"),
    )
    container = ContainerSpec("busybox", name_in_pod="one", mounts=mounts, log=LogSpec(""))
    source = model.VolumeSource(Medium.DISK, options="mode=0777")
    taken = PodVolume("volume-2", source)
    text = generate([KnownPod(PodSpec("web", follows=True, volumes=(taken,)), (container,))])
    assert "Not in it" not in text
    (again,) = _played(text)
    folders = {volume.name: volume.source for volume in again.spec.volumes}
    by_path = {mount.destination: folders.get(mount.source) for mount in again.containers[0].mounts}
    sizes = {
        path: (source.options, source.size_bytes) for path, source in by_path.items() if source
    }
    assert sizes == {
        "/a": ("mode=0700", 1 << 20),
        "/b": ("mode=1777", 2 << 20),
        "/c": ("mode=0777", 0),
    }
    assert generate([again]) == text  # also when the names it gives are taken

    odd = replace(container, mounts=(Mount(MountKind.TMPFS, "/a", options=("exec", "size=9%")),))
    text = generate([KnownPod(PodSpec("web", follows=True), (odd,))])
    assert "# Not in it: web: mounts of container one\n" in text


def test_what_a_document_says_in_other_words_is_in_the_manifest() -> None:
    folder = model.VolumeSource(Medium.DIRECTORY, "/srv", read_only=True)
    volumes = (
        PodVolume("folder", folder),
        PodVolume("disk", model.VolumeSource(Medium.DISK, size_bytes=64 << 20)),
        PodVolume("memory", model.VolumeSource(Medium.MEMORY)),
    )
    container = ContainerSpec(
        "busybox",
        name_in_pod="one",
        mounts=tuple(Mount(MountKind.POD, f"/{name}", name) for name in
                     ("folder", "disk", "memory")),
        ports=(PortBinding(80, "tcp", "127.0.0.1", 8080),),
        files=(InjectedFile("/etc/config", b64encode(b"a: b").decode(), 0o600),),
        log=LogSpec(""),
    )  # fmt: skip
    spec = PodSpec("web", follows=True, volumes=volumes, ports=(PodPort(81, host_port=8081),))
    text = generate([KnownPod(spec, (container,))])
    assert "Not in it" not in text
    (again,) = _played(text)
    assert again.spec.ports == (
        PodPort(81, host_port=8081), PodPort(80, "tcp", "127.0.0.1", 8080)
    )  # fmt: skip
    mounted = {mount.destination: mount for mount in again.containers[0].mounts}
    assert (mounted["/folder"].source, mounted["/folder"].read_only) == ("/srv", True)
    assert mounted["/etc/config"].subpath == "file-0" and mounted["/etc/config"].read_only
    sources = {volume.name: volume.source for volume in again.spec.volumes}
    (file,) = sources.pop(mounted["/etc/config"].source).files
    assert (file.content, file.mode) == (container.files[0].content, 0o600)
    modes = {name: source.options for name, source in sources.items()}
    assert modes == {"disk": "mode=0755", "memory": "mode=1777"}
    assert generate([again]) == text


def test_what_a_manifest_cannot_say_is_in_a_comment() -> None:
    container = ContainerSpec(
        image="busybox",
        name_in_pod="one",
        restart_policy=RestartPolicy(RestartPolicyName.UNLESS_STOPPED),
        user="www-data",
        init=True,
        stop_timeout_s=3,
        healthcheck=Healthcheck(("CMD", "true")),
        resources=Resources(rlimits=(Rlimit("nofile", 1, 2),)),
        log=LogSpec(""),
    )
    spec = PodSpec("web", kernel="mine", ports=(PodPort(80, host_port=8080),))
    lines = [line for line in generate([KnownPod(spec, (container,))]).splitlines() if "#" in line]
    assert lines[1:] == [
        "# Not in it: web: kernel of the pod",
        "# Not in it: web: user of container one",
        "# Not in it: web: init of container one",
        "# Not in it: web: stop_timeout_s of container one",
        "# Not in it: web: healthcheck of container one",
        "# Not in it: web: restart_policy.name of container one",
        "# Not in it: web: resources.rlimits of container one",
    ]


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _WORDS | st.sampled_from(
        ["yes", "1e3", "0o17", "12:30", "2024-01-01", "~", "<<", "=", ".5", "0x1", "1_000", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_what_is_written_reads_back(value: object) -> None:
    assert load_all(dump_all([value])) == [value]
    # and other readers of YAML see the same texts
    if isinstance(value, str):
        assert yaml.safe_load(dump_all([value])) == value


def test_a_character_of_two_escapes_is_one() -> None:
    assert load_all(r'{"a": "\ud83d\ude00 \ud800"}') == [{"a": "\U0001f600 \ufffd"}]
