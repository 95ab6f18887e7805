"""HTTP, JSON and frames as pure functions: whatever the pieces, one result; garbage is refused."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.core.errors import HyperError, InvalidArgument
from hyper.sdk import http1, jsontext
from hyper.sdk.errors import ConnectionLost
from hyper.sdk.frames import FrameDecoder, encode_frame

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nX-Y:  z \r\n"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` in pieces."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[one:other] for one, other in pairwise(places)]


def decode(body: bytes, headers: bytes, cuts: list[int], method: str = "GET") -> bytes:
    parsed = http1.parse_head(HEAD + headers + b"\r\n")
    assert parsed
    decoder = http1.BodyDecoder(method, parsed[0])
    result = b"".join(piece for data in split(body, cuts) for piece in decoder.feed(data))
    decoder.end()
    return result


def test_a_request_has_what_it_must() -> None:
    assert http1.encode_request("POST", "/x?y=1", "hyper", (("A", "b"),), 0) == (
        b"POST /x?y=1 HTTP/1.1\r\nHost: hyper\r\nUser-Agent: hyper\r\nA: b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert b"Transfer-Encoding: chunked" in http1.encode_request("PUT", "/", "h", (), None)
    assert b"Content-Length" not in http1.encode_request("GET", "/", "h", (), 0)


def test_a_head_is_parsed_when_it_is_whole() -> None:
    whole = HEAD + b"\r\nrest"
    for size in range(len(HEAD) + 1):
        assert http1.parse_head(whole[:size]) is None
    parsed = http1.parse_head(whole)
    assert parsed
    head, rest = parsed
    assert (head.status, head.headers, rest) == (200, {"content-type": "a", "x-y": "z"}, b"rest")


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"H" * 70000]
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(ConnectionLost):
        http1.parse_head(data)


@given(st.lists(st.binary(min_size=1), max_size=5), st.lists(st.integers(0, 10000)))
def test_chunks_arrive_whatever_the_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(http1.encode_chunk(chunk) for chunk in [*chunks, b""])
    assert decode(body, b"Transfer-Encoding: chunked\r\n", cuts) == b"".join(chunks)


@given(st.binary(), st.lists(st.integers(0, 10000)))
def test_a_body_with_a_length_or_without(data: bytes, cuts: list[int]) -> None:
    assert decode(data + b"more", f"Content-Length: {len(data)}\r\n".encode(), cuts) == data
    assert decode(data, b"", cuts) == data


def test_answers_without_a_body_end_at_once() -> None:
    assert decode(b"", b"Content-Length: 5\r\n", [], method="HEAD") == b""


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 5\r\n", b"abc"),
        (b"Content-Length: x\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nabc"),
        (b"Transfer-Encoding: chunked\r\n", b"xyz\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"1" * 9000),
    ],
)
def test_a_broken_body_is_not_a_short_one(headers: bytes, body: bytes) -> None:
    with pytest.raises(ConnectionLost):
        decode(body, headers, [])


@given(st.text())
def test_quoted_names_stay_one_word(name: str) -> None:
    from urllib.parse import parse_qs, unquote

    path = http1.path_of("containers", name, "/json")
    assert unquote(path.removeprefix("/containers/").removesuffix("/json")) == name
    assert path.count("/") == 3
    target = http1.encode_target("/x", {"q": name})
    if name:
        assert parse_qs(target.partition("?")[2], keep_blank_values=True)["q"] == [name]


def test_queries() -> None:
    query = {"a": True, "b": False, "c": None, "d": "", "e": 0, "f": ["x", "y"], "g": {"k": [1]}}
    assert http1.encode_target("/x", query) == "/x?a=1&e=0&f=x&f=y&g=%7B%22k%22:%5B1%5D%7D"


@given(JSON)
def test_json_is_the_standard_librarys(value: object) -> None:
    assert json.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(json.dumps(value)) == value
    assert jsontext.loads(f" \n{json.dumps(value, indent=1)}\n ".encode()) == value


@pytest.mark.parametrize("text", ["", "{", "[1,", '{"a"}', "nul", "1 2", '"\\x"', "[" * 100000])
def test_bad_json_is_a_typed_error(text: str) -> None:
    with pytest.raises(InvalidArgument):
        jsontext.loads(text)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1))), st.lists(st.integers()))
def test_frames_arrive_whatever_the_pieces(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(number, data) for number, data in frames)
    decoder = FrameDecoder()
    found = [item for piece in split(stream, cuts) for item in decoder.feed(piece)]
    for number in (1, 2):
        expected = b"".join(data for stream_, data in frames if stream_ == number)
        assert b"".join(data for stream_, data in found if stream_ == number) == expected


def test_control_messages_arrive_whole() -> None:
    decoder = FrameDecoder()
    stream = encode_frame(4, b'{"Id":"x"}') + encode_frame(1, b"o")
    found = [item for byte in stream for item in decoder.feed(bytes([byte]))]
    assert found == [(4, b'{"Id":"x"}'), (1, b"o")]


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_typed_error(data: bytes) -> None:
    try:
        FrameDecoder().feed(data)
    except HyperError:
        pass


@given(st.binary(max_size=300))
def test_any_bytes_are_http_or_a_typed_error(data: bytes) -> None:
    try:
        http1.parse_head(data)
        decode(data, b"Transfer-Encoding: chunked\r\n", [])
    except HyperError:
        pass
