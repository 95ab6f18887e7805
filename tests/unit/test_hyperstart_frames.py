"""hyperstart's frames, hello and refusals; needs no root and no container."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hyperstart_client import Host, Refused, encode_frame, start
from hyperstart_guest import ROOT, greeted_host, hyperstart

from hyper.agent import messages as m
from tests.support.guest_builds import build


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with greeted_host(tmp_path) as host:
        yield host


def test_golden_vectors_hold_in_c() -> None:
    command = [str(build("vectors") / "vectors.asan"), str(ROOT / "protocol/vectors")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert " 0 failures" in result.stdout


@pytest.mark.parametrize("seed", [1, 2026])
def test_decoder_survives_mutated_frames(seed: int) -> None:
    command = [str(build("fuzz") / "fuzz.asan"), "20000", str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_welcome_tells_what_the_guest_is(tmp_path: Path) -> None:
    with hyperstart(tmp_path) as connection:
        host = Host(connection)
        welcome = host.hello(b"n" * 16)
        assert welcome.version == m.PROTOCOL_VERSION
        assert welcome.cpus >= 1
        assert welcome.memory_bytes > 1 << 20
        assert [phase.name for phase in welcome.phases] == ["ready"]
        assert welcome.processes == ()


def test_features_are_the_ones_both_know(tmp_path: Path) -> None:
    with hyperstart(tmp_path) as connection:
        host = Host(connection)
        welcome = host.request(m.Hello(b"n" * 16, 1, m.FEATURE_PAUSE | 1 << 60))
        assert isinstance(welcome, m.Welcome)
        assert welcome.features == m.FEATURE_PAUSE


def test_requests_before_hello_are_refused(tmp_path: Path) -> None:
    with hyperstart(tmp_path) as connection:
        host = Host(connection)
        with pytest.raises(Refused, match="hello"):
            host.request(m.Ping())


def test_idle_bytes_between_frames_are_skipped(host: Host) -> None:
    host.send_raw(bytes(5000))
    assert host.request(m.Ping()) == m.Ok()


def test_one_byte_at_a_time_is_enough(host: Host) -> None:
    for byte in encode_frame(m.Ping(), request_id=900):
        host.send_raw(bytes([byte]))
    assert host.reply(900) == m.Ok()


@pytest.mark.parametrize("cut", [1, 7, 15, 16, 20, 40])
def test_half_a_frame_is_dropped_after_the_padding(host: Host, cut: int) -> None:
    message = m.VolumeAdd("v" * 40, 0, "path", m.Device(), "", False)
    host.send_raw(encode_frame(message, request_id=77)[:cut])
    welcome = host.resume()
    assert welcome.processes == ()
    assert host.request(m.Ping()) == m.Ok()


def test_bytes_that_are_no_frame_are_dropped(host: Host) -> None:
    host.send_raw(b"GET / HTTP/1.1\r\n\r\n")
    assert host.request(m.Ping()) == m.Ok()
    host.wait_for(lambda: any("no frame" in line for line in host.logs))


def test_frame_longer_than_allowed_is_dropped(host: Host) -> None:
    frame = bytearray(encode_frame(m.Ping()))
    frame[4:8] = (m.MAX_PAYLOAD + 1).to_bytes(4, "little")
    host.send_raw(bytes(frame))
    assert host.request(m.Ping()) == m.Ok()


def test_malformed_payload_is_answered_with_its_step(host: Host) -> None:
    frame = bytearray(encode_frame(m.VolumeRemove("abcd"), request_id=5000))
    frame[-2] = ord("x")  # the NUL of the string
    host.send_raw(bytes(frame))
    with pytest.raises(Refused, match="decode volume_remove"):
        host.reply(5000)


def test_unknown_message_is_answered(host: Host) -> None:
    frame = bytearray(encode_frame(m.Ping(), request_id=5001))
    frame[2:4] = (999).to_bytes(2, "little")
    host.send_raw(bytes(frame))
    with pytest.raises(Refused, match="type 999"):
        host.reply(5001)


def test_unknown_container_is_named(host: Host) -> None:
    with pytest.raises(Refused, match="container c1"):
        host.request(start(1, "true", main=True))


def test_many_requests_at_once_are_answered_in_order(host: Host) -> None:
    ids = [host.request_async(m.Ping()) for _ in range(500)]
    assert [host.reply(request_id) for request_id in ids] == [m.Ok()] * 500
