"""The frame codec: whole frames in, whole frames out, and nothing a hostile stream could break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.agent import messages as m
from hyper.agent.codec import RESUME_PADDING, Frame, FrameDecoder, encode_frame

frames = st.lists(
    st.builds(
        lambda content, offset, stream, eof: encode_frame(
            m.Data(offset, content), stream_id=stream, flags=m.FLAG_EOF if eof else 0
        ),
        st.binary(max_size=300),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.booleans(),
    ),
    max_size=8,
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


@given(frames, st.lists(st.integers(0, 200), max_size=20), st.integers(0, 40))
def test_frames_survive_any_cut_and_idle_bytes(
    encoded: list[bytes], sizes: list[int], idle: int
) -> None:
    stream = (b"\0" * idle).join([b"", *encoded, b""])
    decoder = FrameDecoder()
    decoded = [frame for part in cut(stream, sizes) for frame in decoder.feed(part)]
    again = [
        encode_frame(frame.message(), stream_id=frame.stream_id, flags=frame.flags)
        for frame in decoded
    ]
    assert again == encoded
    assert decoder.buffered_bytes == 0


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_noise_is_refused_or_waited_for_but_never_kept_beyond_a_frame(parts: list[bytes]) -> None:
    decoder = FrameDecoder()
    try:
        for part in parts:
            for frame in decoder.feed(part):
                frame.message()
    except m.ProtocolError:
        pass
    assert decoder.buffered_bytes <= m.MAX_PAYLOAD + m.FRAME_HEADER_BYTES + 1


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, 0xA6), (1, 0x08), (1, 0xFF), (7, 0xFF), (-1, 0), (-1, 0x7B)],
    ids=["magic", "flag 3", "all flags", "length", "idle for end", "end"],
)
def test_a_frame_with_a_wrong_byte_is_refused(index: int, value: int) -> None:
    data = bytearray(encode_frame(m.Log(3, "text")))
    data[index] = value
    with pytest.raises(m.ProtocolError):
        FrameDecoder().feed(bytes(data))


def test_the_largest_frame_passes_and_one_byte_more_is_refused() -> None:
    size = m.MAX_PAYLOAD - 4 - 8
    [frame] = FrameDecoder().feed(encode_frame(m.Data(0, bytes(size))))
    assert frame.message() == m.Data(0, bytes(size))
    with pytest.raises(m.ProtocolError):
        encode_frame(m.Data(0, bytes(size + 1)))


def test_an_unfinished_frame_is_all_that_is_held() -> None:
    decoder = FrameDecoder()
    frame = encode_frame(m.Log(6, "x" * 100))
    assert len(decoder.feed(frame * 3 + frame[:50])) == 3
    assert decoder.buffered_bytes == 50
    assert decoder.feed(frame[50:]) == [Frame(m.Log.TYPE, 0, 0, 0, frame[16:-1])]


@given(st.binary(max_size=400), st.lists(st.integers(0, 60), max_size=20))
def test_resync_finds_the_welcome_after_any_rubbish(rubbish: bytes, sizes: list[int]) -> None:
    nonce = bytes(range(100, 116))
    welcome = m.Welcome(nonce=nonce, version=1)
    data = rubbish + encode_frame(welcome, request_id=1, flags=m.FLAG_REPLY)
    data += encode_frame(m.Log(6, "after"))
    decoder = FrameDecoder(resync_nonce=nonce)
    decoded = [frame.message() for part in cut(data, sizes) for frame in decoder.feed(part)]
    assert decoded == [welcome, m.Log(6, "after")]


def test_resync_is_not_fooled_by_another_connections_welcome() -> None:
    decoder = FrameDecoder(resync_nonce=b"a" * 16)
    other = encode_frame(m.Welcome(nonce=b"b" * 16), request_id=1, flags=m.FLAG_REPLY)
    echoed = encode_frame(m.Data(0, b"\x10\0\0\0" + b"a" * 16))
    assert decoder.feed(other + echoed) == []
    assert decoder.buffered_bytes < 64


def test_padding_ends_a_predecessors_half_frame() -> None:
    half = encode_frame(m.Data(0, bytes(range(1, 200))))[:40]
    with pytest.raises(m.ProtocolError):
        FrameDecoder().feed(half + RESUME_PADDING)
