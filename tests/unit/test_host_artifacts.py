"""The guest that the daemon boots must speak the daemon's version of their protocol."""

import runpy
from pathlib import Path

import pytest

from hyper.agent.messages import PROTOCOL_FINGERPRINT
from hyper.core.errors import Unavailable
from hyper.host.artifacts import check_protocol
from tools.places import CHECKOUT

INITRD = runpy.run_path(str(CHECKOUT / "guest" / "hyperstart" / "initrd.py"))


def test_a_guest_of_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    built = tmp_path / "initrd"
    header = (CHECKOUT / "guest" / "hyperstart" / "messages.h").read_text()
    protocol = INITRD["fingerprint"](header)
    built.write_bytes(INITRD["archive"](b"an init", protocol))
    check_protocol(built, PROTOCOL_FINGERPRINT)
    for other in (
        INITRD["archive"](b"an init", protocol + 1),
        INITRD["archive"](b"an init", protocol * 10),
        b"an initrd of long ago",
    ):
        built.write_bytes(other)
        with pytest.raises(Unavailable, match=rf"the guest {built} is not .* run make guest"):
            check_protocol(built, PROTOCOL_FINGERPRINT)


def test_a_guest_that_was_not_built_is_told_elsewhere(tmp_path: Path) -> None:
    check_protocol(tmp_path / "initrd", PROTOCOL_FINGERPRINT)
