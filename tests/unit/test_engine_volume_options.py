"""What carries a volume, by its driver and options; refusals name the option."""

import pytest

from hyper.core.errors import HyperError, InvalidArgument, NotFound, Unsupported
from hyper.core.pod_spec import Medium, VolumeSource
from hyper.engine.volume_options import volume_source

GIB = 1 << 30


@pytest.mark.parametrize(
    ("driver", "options", "source"),
    [
        ("local", {}, None),
        ("local", {"size": "1g"}, VolumeSource(Medium.DISK, size_bytes=GIB, grow=True)),
        (
            "local",
            {"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"},
            VolumeSource(Medium.MEMORY, options="size=100m,uid=1000"),
        ),
        (
            "local",
            {"type": "none", "o": "bind,ro", "device": "/srv"},
            VolumeSource(Medium.DIRECTORY, "/srv", read_only=True),
        ),
        (
            "local",
            {"type": "nfs", "o": "addr=server,rw,nfsvers=4", "device": ":/x"},
            VolumeSource(Medium.NFS, "server:/x", options="addr=server,rw,nfsvers=4"),
        ),
        (
            "local",
            {"type": "nfs4", "o": "ro", "device": "[fd00::1]:/x"},
            VolumeSource(Medium.NFS, "[fd00::1]:/x", options="ro", read_only=True),
        ),
        (
            "local",
            {"type": "iso9660", "o": "ro,noexec", "device": "/dev/sr0"},
            VolumeSource(
                Medium.DISK, "/dev/sr0", fstype="iso9660", options="noexec", read_only=True
            ),
        ),
        (
            "qcow2",
            {"size": "64m"},
            VolumeSource(Medium.DISK, image_format="qcow2", size_bytes=64 << 20, grow=True),
        ),
        (
            "raw",
            {"source": "/a.img", "format": "vfat"},
            VolumeSource(Medium.DISK, "/a.img", fstype="vfat"),
        ),
        ("directory", {"source": "/srv"}, VolumeSource(Medium.DIRECTORY, "/srv")),
        ("memory", {"size": "1m"}, VolumeSource(Medium.MEMORY, size_bytes=1 << 20)),
        (
            "nfs",
            {"source": "a:/b", "options": "soft", "readOnly": "true"},
            VolumeSource(Medium.NFS, "a:/b", options="soft", read_only=True),
        ),
    ],
)  # fmt: skip
def test_options_say_what_carries_a_volume(
    driver: str, options: dict[str, str], source: VolumeSource | None
) -> None:
    assert volume_source("vol", driver, options) == source


@pytest.mark.parametrize(
    ("driver", "options", "kind", "text"),
    [
        ("local", {"nosuch": "1"}, InvalidArgument, 'create vol: invalid option: "nosuch"'),
        ("local", {"type": "nfs"}, InvalidArgument, 'missing required option: "device"'),
        ("local", {"device": "/x"}, InvalidArgument, 'missing required option: "type"'),
        ("local", {"type": "cifs", "device": "//x"}, Unsupported, "type cifs: the guest's kernel"),
        ("local", {"type": "none", "device": "/x"}, InvalidArgument, "o=bind"),
        ("local", {"type": "none", "o": "bind", "device": "x"}, InvalidArgument, "absolute path"),
        ("local", {"type": "tmpfs", "device": "t", "o": "sizes=1"}, InvalidArgument, '"sizes=1"'),
        ("local", {"type": "nfs", "device": ":/x", "o": "rw"}, InvalidArgument, "ADDRESS:/EXPORT"),
        ("local", {"type": "ext4", "device": "/x", "o": "data=off"}, InvalidArgument, "data=off"),
        ("local", {"type": "none", "o": "bind", "device": "/x", "size": "1g"}, Unsupported, "size"),
        ("local", {"size": "big"}, InvalidArgument, "invalid size: 'big'"),
        ("raw", {}, InvalidArgument, "size of the raw image is needed"),
        ("raw", {"source": "/x", "size": "1g"}, InvalidArgument, "/x has a size"),
        ("raw", {"size": "1g", "readOnly": "true"}, InvalidArgument, "format and readOnly"),
        ("nfs", {"source": "a:/b", "size": "1g"}, InvalidArgument, "driver nfs takes source"),
        ("directory", {"source": "/a", "readOnly": "1"}, InvalidArgument, "readOnly: true or fals"),
        ("rexray", {}, NotFound, 'looking up volume plugin rexray: plugin "rexray" not found'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(
    driver: str, options: dict[str, str], kind: type[HyperError], text: str
) -> None:
    with pytest.raises(kind) as refused:
        volume_source("vol", driver, options)
    assert text in str(refused.value)
