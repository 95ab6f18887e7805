"""Docker's create body to a specification and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.core.errors import HyperError, InvalidArgument, Unsupported
from hyper.core.health import complete_healthcheck, merge_healthcheck, parse_healthcheck
from hyper.core.serialize import dump, load
from hyper.core.spec import (
    ContainerSpec,
    Device,
    EndpointSpec,
    Healthcheck,
    Mount,
    MountKind,
    PortBinding,
    Rlimit,
)
from hyper.schema.config import CONFIG
from hyper.schema.container import parse_create, show_config, show_host_config
from hyper.schema.fields import Support
from hyper.schema.hostconfig import HOST_CONFIG
from hyper.schema.mounts import parse_bind, show_bind
from tests.support import specification

# What the docker command (28.2) sends for `docker create busybox`.
CLI_DEFAULTS = json.loads(
    """{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
    "AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,
    "Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
    "HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},
    "NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
    "AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,
    "CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,
    "GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",
    "Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,
    "UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,
    "CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],
    "BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,
    "CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"",
    "Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,
    "MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],
    "CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,
    "ReadonlyPaths":null},"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,
    "Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"",
    "EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"",
    "GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"""
)


def host(**fields: Any) -> ContainerSpec:
    return parse_create({"Image": "busybox", "HostConfig": fields}).spec


def config(**fields: Any) -> ContainerSpec:
    return parse_create({"Image": "busybox", **fields}).spec


def test_the_tables_have_every_field_of_the_specification() -> None:
    definitions = specification.specification()["definitions"]
    resources = set(definitions["Resources"]["properties"])
    own = set(definitions["HostConfig"]["allOf"][1]["properties"])
    assert {field.name for field in HOST_CONFIG} >= resources | own
    assert {field.name for field in CONFIG} == set(definitions["ContainerConfig"]["properties"])


def test_what_is_not_as_dockers_says_how_or_why() -> None:
    for field in (*CONFIG, *HOST_CONFIG):
        assert field.support is Support.WORKS or field.note, field.name


def test_what_the_docker_command_always_sends_asks_for_nothing() -> None:
    request = parse_create(CLI_DEFAULTS)
    assert request.warnings == ()
    asked = ContainerSpec("busybox", attach_stdout=True, attach_stderr=True)
    assert dump(request.spec) == dump(
        ContainerSpec(**{slot: getattr(asked, slot) for slot in asked.__slots__}
                      | {"log": request.spec.log})
    )  # fmt: skip


def test_shown_again_it_is_what_was_asked() -> None:
    shown = show_host_config(parse_create(CLI_DEFAULTS).spec)
    for name, value in CLI_DEFAULTS["HostConfig"].items():
        if name not in ("ShmSize", "MemorySwappiness"):
            assert (shown[name] or None) == (value or None), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("NetworkMode", "host"),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("UTSMode", "host"),
        ("CgroupnsMode", "host"),
        ("CgroupParent", "/x"),
        ("BlkioWeight", 10),
        ("BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1}]),
        ("DeviceCgroupRules", ["c 1:1 rwm"]),
        ("CpuRealtimeRuntime", 1),
        ("DeviceRequests", [{"Count": -1}]),
        ("SecurityOpt", ["apparmor=mine"]),
        ("VolumeDriver", "nfs"),
        ("Isolation", "hyperv"),
        ("Mounts", [{"Type": "image", "Target": "/x", "Source": "y"}]),
    ],
)
def test_what_a_vm_cannot_honour_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(Unsupported, match=rf"^HostConfig\.{field}\b.* not supported"):
        host(**{field: value})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Memory": 1000}, "Minimum memory limit allowed is 6MB"),
        ({"MemorySwap": 1 << 30}, "You should always set the Memory limit when using Memoryswap"),
        ({"Memory": 1 << 30, "MemorySwap": 1 << 20}, "Minimum memoryswap limit should be larger"),
        ({"NanoCpus": 1, "CpuPeriod": 2000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"CpuQuota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"OomScoreAdj": 2000}, r"range for oom score adj is \[-1000, 1000\]"),
        ({"RestartPolicy": {"Name": "odd"}}, "unknown policy 'odd'"),
        ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "can't create 'AutoRemove'"),
        ({"Binds": ["a:b:c:d"]}, "invalid volume specification: 'a:b:c:d'"),
        ({"Binds": ["/a:/b:odd"]}, "invalid mode: odd"),
        ({"Binds": ["/a:/"]}, "destination can't be '/'"),
        ({"Binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
        ({"Mounts": [{"Type": "bind", "Target": "/x"}]}, "field Source must not be empty"),
        ({"Mounts": [{"Type": "volume"}]}, "field Target must not be empty"),
        ({"Mounts": [{"Type": "odd", "Target": "/x"}]}, "mount type unknown"),
        ({"PortBindings": {"80/icmp": None}}, "invalid proto: icmp"),
        ({"PortBindings": {"80": [{"HostPort": "x"}]}}, "invalid host port"),
        ({"NetworkMode": "container:"}, "invalid container format container:<name"),
        ({"NetworkMode": "container:x", "PublishAllPorts": True}, "port publishing and the cont"),
        ({"NetworkMode": "container:x", "DnsSearch": ["x"]}, "options: dns and the network mode"),
        ({"ExtraHosts": ["nothing"]}, "bad format for add-host"),
        ({"Dns": ["x"]}, "bad nameserver address: x"),
        ({"SecurityOpt": ["odd"]}, "invalid --security-opt"),
        ({"Ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]}, "soft limit must be less"),
        ({"Memory": "1g"}, "HostConfig.Memory: an integer is needed, not a string"),
        ({"Binds": "x"}, "HostConfig.Binds: an array is needed, not a string"),
        ({"Tmpfs": {"/x": 3}}, "HostConfig.Tmpfs./x: a string is needed, not a number"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"LogConfig": {"Type": "syslog"}}, 'plugin "syslog" not found'),
        ({"StorageOpt": {"size": "much"}}, "invalid size"),
        ({"Runtime": "runc"}, "unknown or invalid runtime name: runc"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        host(**fields)


def test_logs_are_not_compressed() -> None:
    options = {"max-size": "1m", "max-file": "3", "compress": "true"}
    with pytest.raises(Unsupported, match="log option compress is not supported"):
        host(LogConfig={"Type": "json-file", "Config": options})
    kept = host(LogConfig={"Type": "local", "Config": {**options, "compress": "false"}})
    assert dict(kept.log.options)["compress"] == "false"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"WorkingDir": "x"}, "the working directory 'x' is invalid, it needs to be an absolute"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"Hostname": "a" * 65}, "invalid hostname"),
        ({"StopSignal": "ODD"}, "Invalid signal: ODD"),
        ({"Healthcheck": {"Interval": 5}}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Healthcheck": {"Test": ["ODD"]}}, "Unknown healthcheck type"),
        ({"Cmd": {}}, "Cmd: an array is needed, not an object"),
        ({"Volumes": {"x": {}}}, "mount path must be absolute"),
        ({"User": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_configured_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        config(**fields)


def test_ports_and_ranges() -> None:
    spec = host(PortBindings={"80-81/tcp": [{"HostPort": "8080-8081"}], "53/udp": None})
    assert spec.ports == (
        PortBinding(80, "tcp", "", 8080),
        PortBinding(81, "tcp", "", 8081),
        PortBinding(53, "udp", "", 0),
    )


def test_ulimits() -> None:
    spec = host(Ulimits=[{"Name": "core", "Soft": -1, "Hard": -1}])
    assert spec.resources.rlimits == (Rlimit("core", -1, -1),)


def test_a_bind_also_named_as_a_volume_is_one_mount() -> None:
    body = {"Image": "x", "Volumes": {"/b": {}}, "HostConfig": {"Binds": ["/tmp:/b"]}}
    assert [mount.kind for mount in parse_create(body).spec.mounts] == [MountKind.BIND]


def test_kernel_and_pod_by_field_and_by_annotation() -> None:
    spec = parse_create({"Image": "x", "Kernel": "k", "Pod": "p"}).spec
    assert (spec.kernel, spec.pod) == ("k", "p")
    spec = host(Annotations={"hyper.kernel": "k", "hyper.pod": "p", "other": "o"})
    assert (spec.kernel, spec.pod) == ("k", "p")
    assert ("other", "o") in spec.annotations


def test_one_network_with_its_aliases() -> None:
    endpoints = {"mine": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.1.2.3"}}}
    networking = {"EndpointsConfig": endpoints}
    spec = config(NetworkingConfig=networking, HostConfig={"NetworkMode": "mine"})
    assert spec.network_mode == "mine"
    assert spec.endpoints == (EndpointSpec("mine", aliases=("a",), address="10.1.2.3"),)
    with pytest.raises(InvalidArgument, match="on user defined networks only"):
        networking = {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "10.1.2.3"}}}}
        config(NetworkingConfig=networking)


def test_health_checks_inherit_from_the_image() -> None:
    image = {"Test": ["CMD", "probe"], "Interval": 5_000_000_000, "Retries": 7}
    asked = parse_healthcheck({"Timeout": 2_000_000_000}, "Healthcheck")
    merged = merge_healthcheck(asked, image)
    assert merged == Healthcheck(("CMD", "probe"), 5, 2, 0, 0, 7)
    assert complete_healthcheck(merged) == Healthcheck(("CMD", "probe"), 5, 2, 0, 5, 7)
    of_image = complete_healthcheck(merge_healthcheck(None, image))
    assert of_image == Healthcheck(("CMD", "probe"), 5, 30, 0, 5, 7)
    assert merge_healthcheck(None, None) is None
    none = merge_healthcheck(parse_healthcheck({"Test": ["NONE"]}, ""), image)
    assert none is not None and none.test == ("NONE",)
    assert complete_healthcheck(none) is None


def test_swappiness_and_oom_kill_disable_are_warned_of_as_by_dockerd() -> None:
    body = {"Image": "x", "HostConfig": {"MemorySwappiness": 3, "OomKillDisable": True}}
    assert len(parse_create(body).warnings) == 2


paths = st.from_regex(r"/[a-z]{1,4}(/[a-z.]{1,3}[a-z])?", fullmatch=True)
words = st.text("abcXYZ019_-", min_size=1, max_size=8)
bodies = st.fixed_dictionaries(
    {"Image": words},
    optional={
        "Cmd": st.lists(st.text(max_size=5).filter(lambda text: "\0" not in text), min_size=1),
        "Entrypoint": st.lists(words, min_size=1),
        "Env": st.lists(words.map(lambda name: f"{name}=v"), unique=True),
        "Labels": st.dictionaries(words, words),
        "User": words,
        "WorkingDir": paths,
        "Tty": st.booleans(),
        "OpenStdin": st.booleans(),
        "StopTimeout": st.integers(-1, 99),
        "Healthcheck": st.fixed_dictionaries(
            {"Test": st.just(["CMD", "x"]), "Interval": st.integers(10**6, 10**12)}
        ),
        "HostConfig": st.fixed_dictionaries(
            {},
            optional={
                "Binds": st.lists(
                    st.tuples(words.filter(lambda w: w[0] not in "_-"), paths), max_size=1
                ).map(lambda pairs: [f"{a}:{b}:ro" for a, b in pairs]),
                "NanoCpus": st.integers(0, 64 * 10**9),
                "Memory": st.integers(6 << 20, 1 << 40),
                "PidsLimit": st.integers(1, 10**6),
                "ShmSize": st.integers(1, 1 << 40),
                "CapAdd": st.lists(words),
                "Privileged": st.booleans(),
                "Sysctls": st.dictionaries(words, words, min_size=1),
                "GroupAdd": st.lists(words),
                "RestartPolicy": st.just({"Name": "on-failure", "MaximumRetryCount": 4}),
                "LogConfig": st.just({"Type": "local", "Config": {"max-size": "1m"}}),
                "MaskedPaths": st.lists(paths),
                "StorageOpt": st.just({"size": "123456"}),
                "Init": st.just(True),
            },
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(bodies)
def test_what_is_shown_parses_to_the_same_specification(body: dict[str, Any]) -> None:
    spec = parse_create(body).spec
    again = parse_create({**show_config(spec), "HostConfig": show_host_config(spec)}).spec
    assert again == spec
    assert load(ContainerSpec, dump(spec)) == spec


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([field.name for field in CONFIG]), json_values, max_size=3),
    st.dictionaries(
        st.sampled_from([field.name for field in HOST_CONFIG]), json_values, max_size=3
    ),
)
def test_no_body_is_more_than_refused(body: dict[str, Any], host_config: dict[str, Any]) -> None:
    try:
        parse_create({**body, "HostConfig": host_config})
    except HyperError as err:
        assert str(err)


@settings(deadline=None)
@given(st.text("/ab:,ro", max_size=12))
def test_a_bind_is_shown_as_it_was_given(text: str) -> None:
    try:
        mount: Mount = parse_bind(text)
    except InvalidArgument:
        return
    assert parse_bind(show_bind(mount)) == mount


def test_devices_are_below_dev_and_shown_as_they_were_asked_for() -> None:
    asked = {"PathOnHost": "/dev/sdb", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}
    spec = host(Devices=[asked, {"PathOnHost": "/dev/fuse"}])
    assert spec.devices == (Device("/dev/sdb", "/dev/x", "r"), Device("/dev/fuse", "/dev/fuse"))
    assert show_host_config(spec)["Devices"][0] == asked
    for wrong in ({"PathOnHost": "/etc/x"}, asked | {"CgroupPermissions": "q"}):
        with pytest.raises(InvalidArgument, match=r"^HostConfig\.Devices\[0\]"):
            host(Devices=[wrong])


def test_the_documentation_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "docker-api.md"
    command = [sys.executable, "-m", "hyper.schema.report"]
    source = str(Path(__file__).parents[2] / "src")
    made = subprocess.run(command, capture_output=True, check=True, env={"PYTHONPATH": source})
    assert page.read_bytes() == made.stdout, f"run {' '.join(command[1:])} > {page.name}"


def test_what_a_full_log_does_is_checked_for_every_driver() -> None:
    def create(driver: str, **options: str) -> None:
        config = {name.replace("_", "-"): value for name, value in options.items()}
        parse_create(
            {"Image": "x", "HostConfig": {"LogConfig": {"Type": driver, "Config": config}}}
        )

    for driver in ("json-file", "local", ""):
        create(driver, mode="non-blocking", max_buffer_size="4m")
        create(driver, mode="blocking")
        with pytest.raises(InvalidArgument, match="logging mode not supported: often"):
            create(driver, mode="often")
        with pytest.raises(InvalidArgument, match="only supported with 'mode=non-blocking'"):
            create(driver, max_buffer_size="4m")
        with pytest.raises(InvalidArgument, match="error parsing option max-buffer-size"):
            create(driver, mode="non-blocking", max_buffer_size="much")
