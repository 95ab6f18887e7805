"""Options of mounts: what becomes a flag, what the NFS client is told, what is refused."""

import pytest

from hyper.core.errors import InvalidArgument
from hyper.core.mount_options import (
    MS_NOATIME,
    MS_NOEXEC,
    MS_RDONLY,
    join_export,
    parse_nfs,
    split_export,
    split_flags,
)


def test_flags_are_taken_out_and_the_last_of_a_pair_wins() -> None:
    assert split_flags("ro,noexec,size=1m,exec") == (MS_RDONLY, ("size=1m",))
    assert split_flags(("noexec", "", "mode=700")) == (MS_NOEXEC, ("mode=700",))


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("", ""),
        ("vers=4", ""),
        ("nfsvers=4.1,hard", "vers=4.1,hard"),
        ("v4.0", "vers=4.0"),
        ("vers=4,minorversion=2", "vers=4,minorversion=2"),
        ("v3,nolock,mountport=635", "vers=3,nolock,mountport=635"),
        ("rw,soft,timeo=50,rsize=8192,sec=sys", "soft,timeo=50,rsize=8192,sec=sys"),
    ],
)
def test_the_kernel_is_told_a_version_only_when_one_was_chosen(options: str, data: str) -> None:
    assert parse_nfs(options).data == data


def test_docker_s_addr_is_the_server_and_not_the_kernel_s() -> None:
    parsed = parse_nfs("addr=server.example,rw,noatime,nfsvers=4")
    assert (parsed.address, parsed.data, parsed.flags) == ("server.example", "", MS_NOATIME)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("vers=3", "add nolock"),
        ("vers=2", "3, 4, 4.0, 4.1 and 4.2 are possible"),
        ("sec=krb5", "only sec=sys works"),
        ("retry=5", "mount(8)'s"),
        ("rsize=big", "not a value it can have"),
        ("nosuch=1", "the kernel's NFS client has none of this name"),
        ("hard=1", "none of this name"),
        ("clientaddr=host", "clientaddr=host: not a value"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_nfs(options)
    assert reason in str(refused.value)


def test_an_export_has_a_host_and_a_path() -> None:
    assert split_export("server:/a/b") == ("server", "/a/b")
    assert split_export("[fe80::1]:/") == ("fe80::1", "/")
    assert join_export("fe80::1", "/a") == "[fe80::1]:/a"
    for wrong in ("server", ":/a", "server:a", "ser,ver:/a"):
        with pytest.raises(InvalidArgument):
            split_export(wrong)
