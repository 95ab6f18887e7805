"""What the flags of run and create mean in the request's body, as docker sends it."""

from pathlib import Path

import pytest

from hyper.cli.container_body import create_body
from hyper.cli.container_flags import RUN_FLAGS
from hyper.cli.flags import FlagError, parse
from hyper.core.errors import InvalidArgument


def body(*words: str) -> dict[str, object]:
    options, arguments = parse(RUN_FLAGS, [*words, "busybox"], interspersed=False)
    return create_body(options, arguments)


def host(*words: str) -> dict[str, object]:
    config = body(*words)["HostConfig"]
    assert isinstance(config, dict)
    del config["NetworkMode"]
    return config


def test_the_plainest_body() -> None:
    assert body() == {
        "Image": "busybox",
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {"NetworkMode": "default"},
    }


def test_interactive_attaches_stdin_beside_what_is_asked_for() -> None:
    found = body("-i", "-a", "stdout")
    assert (found["AttachStdin"], found["AttachStdout"], found["AttachStderr"]) == (
        True,
        True,
        False,
    )
    assert found["StdinOnce"] is True


def test_words_after_the_image_are_the_command() -> None:
    options, arguments = parse(RUN_FLAGS, ["-i", "busybox", "sh", "-c", "x"], interspersed=False)
    assert create_body(options, arguments)["Cmd"] == ["sh", "-c", "x"]


def test_environment_of_flags_files_and_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    (tmp_path / "env").write_text("# comment\n\nFILE=a=b\n  OURS\n")
    found = body("--env-file", str(tmp_path / "env"), "-e", "A=b", "-e", "OURS", "-e", "NOT_SET")
    assert found["Env"] == ["FILE=a=b", "OURS=1", "A=b", "OURS=1", "NOT_SET"]


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (
            ("--rm", "--init", "--read-only"),
            {"AutoRemove": True, "Init": True, "ReadonlyRootfs": True},
        ),
        (("-m", "1g", "--memory-swap", "-1"), {"Memory": 2**30, "MemorySwap": -1}),
        (("--cpus", "1.5", "-c", "2"), {"NanoCpus": 1500000000, "CpuShares": 2}),
        (
            ("--restart", "on-failure:3"),
            {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
        ),
        (("--ulimit", "nofile=1:2"), {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}),
        (("--ulimit", "core=-1"), {"Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}]}),
        (("--sysctl", "net.a=1"), {"Sysctls": {"net.a": "1"}}),
        (("--tmpfs", "/a:size=1m", "--tmpfs", "/b"), {"Tmpfs": {"/a": "size=1m", "/b": ""}}),
        (("--log-opt", "a=b"), {"LogConfig": {"Type": "", "Config": {"a": "b"}}}),
        (("--add-host", "a=::1"), {"ExtraHosts": ["a:::1"]}),
        (("--cap-add", "ALL", "--cap-drop", "MKNOD"), {"CapAdd": ["ALL"], "CapDrop": ["MKNOD"]}),
        (("-v", "/a:/b:ro", "-v", "v:/c"), {"Binds": ["/a:/b:ro", "v:/c"]}),
        (("--security-opt", "seccomp=unconfined"), {"SecurityOpt": ["seccomp=unconfined"]}),
        (("--security-opt", "systempaths=unconfined"), {"MaskedPaths": [], "ReadonlyPaths": []}),
        (
            ("--device", "/dev/a:/dev/b:r", "--device", "/dev/c"),
            {
                "Devices": [
                    {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
                    {
                        "PathOnHost": "/dev/c",
                        "PathInContainer": "/dev/c",
                        "CgroupPermissions": "rwm",
                    },
                ]
            },
        ),
        (
            ("--mount", "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave"),
            {
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": "/a",
                        "Target": "/b",
                        "ReadOnly": True,
                        "BindOptions": {"Propagation": "rslave"},
                    }
                ]
            },
        ),
        (
            ("--mount", 'type=volume,dst=/v,"volume-opt=o=a,b",volume-nocopy'),
            {
                "Mounts": [
                    {
                        "Type": "volume",
                        "Target": "/v",
                        "VolumeOptions": {
                            "NoCopy": True,
                            "DriverConfig": {"Options": {"o": "a,b"}},
                        },
                    }
                ]
            },
        ),
        (
            ("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"),
            {
                "Mounts": [
                    {
                        "Type": "tmpfs",
                        "Target": "/t",
                        "TmpfsOptions": {"SizeBytes": 2**20, "Mode": 0o1770},
                    }
                ]
            },
        ),
    ],
)
def test_flags_of_the_host_config(words: tuple[str, ...], config: dict[str, object]) -> None:
    assert host(*words) == config


@pytest.mark.parametrize(
    ("word", "bindings"),
    [
        ("80", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("8080:80/udp", {"80/udp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("127.0.0.1::80", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}),
        ("[::1]:5:6", {"6/tcp": [{"HostIp": "::1", "HostPort": "5"}]}),
        ("9000-9005:90", {"90/tcp": [{"HostIp": "", "HostPort": "9000-9005"}]}),
        (
            "10-11:20-21",
            {
                "20/tcp": [{"HostIp": "", "HostPort": "10"}],
                "21/tcp": [{"HostIp": "", "HostPort": "11"}],
            },
        ),
        ("target=80,published=81,protocol=udp", {"80/udp": [{"HostIp": "", "HostPort": "81"}]}),
    ],
)
def test_published_ports(word: str, bindings: dict[str, object]) -> None:
    found = body("-p", word)
    config = found["HostConfig"]
    assert isinstance(config, dict)
    assert config["PortBindings"] == bindings
    assert found["ExposedPorts"] == {port: {} for port in bindings}


def test_a_named_network_with_an_alias_has_an_endpoint() -> None:
    found = body("--network", "name=n1,alias=x", "--network", "n2", "--ip", "10.0.0.5")
    assert found["NetworkingConfig"] == {
        "EndpointsConfig": {
            "n1": {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}},
            "n2": {},
        }
    }


def test_a_kernel_by_path_is_made_absolute_and_a_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert body("--kernel", "./vmlinux")["Kernel"] == str(tmp_path / "vmlinux")
    assert body("--kernel", "mine")["Kernel"] == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-p", "abc"), "invalid containerPort: abc"),
        (("-p", "1-2:3-9"), "invalid ranges specified for container and host Ports: 3-9 and 1-2"),
        (("-p", "80/foo"), "invalid proto: foo"),
        (("-p", "1.2.3:80:80"), "invalid IP address: 1.2.3"),
        (("--expose", "1:2"), "invalid port format for --expose: 1:2"),
        (("--restart", "on-failure:x"), "maximum retry count must be an integer"),
        (("--rm", "--restart", "always"), "cannot specify both --restart and --rm"),
        (("--pull", "x"), "invalid pull option: 'x'"),
        (("--log-driver", "none", "--log-opt", "a=b"), "invalid logging opts for driver none"),
        (("--no-healthcheck", "--health-retries", "1"), "conflicts with --health-* options"),
        (("--env-file", "/nonexistent"), "open /nonexistent: no such file or directory"),
        (("--security-opt", "x"), 'Invalid --security-opt: "x"'),
        (("--memory-swappiness", "200"), "Valid memory swappiness range is 0-100"),
    ],
)
def test_wrong_combinations_have_dockers_words(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        body(*words)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-a", "x"), "valid streams are STDIN, STDOUT and STDERR"),
        (("-e", "=x"), "invalid environment variable: =x"),
        (("-l", "=x"), "invalid label '=x': empty name"),
        (("--dns", "1.2"), "IP address is not correctly formatted: 1.2"),
        (("--add-host", "x"), 'bad format for add-host: "x"'),
        (("--sysctl", "kernel.x=1"), "sysctl 'kernel.x=1' is not allowed"),
        (("--ulimit", "x"), "invalid ulimit argument: x"),
        (("--mount", "src=/a"), "target is required"),
        (("--mount", "dst=/a,x=y"), "unexpected key 'x' in 'x=y'"),
        (("--mount", "type=bind,src=/a,dst=/b,volume-nocopy"), "cannot mix 'volume-*' options"),
    ],
)
def test_wrong_values_are_refused_while_parsing(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        body(*words)
    assert message in str(caught.value)
