"""Layers as registries get them: gzip of any tar, the same however the tar is read."""

import gzip
import hashlib
import io
import os

import pytest

from hyper.images.compression import Read
from hyper.images.gzipper import Packed, Packing

CONTENTS = {
    "empty": b"",
    "small": b"hello",
    "repetitive": b"all work and no play " * 200_000,
    "random": os.urandom(1_500_000),
    "exact": bytes(1024 * 1024),
}


def compress(read: Read, out: io.BytesIO) -> Packed:
    with Packing(read, out) as packing:
        while packing.step():
            pass
        return packing.packed


@pytest.mark.parametrize("name", CONTENTS)
def test_what_was_packed_unpacks_and_has_the_digests_said(name: str) -> None:
    content, out = CONTENTS[name], io.BytesIO()
    packed = compress(io.BytesIO(content).read, out)
    assert gzip.decompress(out.getvalue()) == content
    assert packed.size_bytes == len(out.getvalue())
    assert packed.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
    assert packed.tar_digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_bytes_do_not_depend_on_how_the_tar_is_read() -> None:
    content = CONTENTS["repetitive"] + CONTENTS["random"]
    whole, pieces = io.BytesIO(), io.BytesIO()
    compress(io.BytesIO(content).read, whole)
    source = io.BytesIO(content)
    compress(lambda _: source.read(77_777), pieces)
    assert whole.getvalue() == pieces.getvalue()


def test_repetition_is_found_across_blocks() -> None:
    out = io.BytesIO()
    line = os.urandom(20_000)
    packed = compress(io.BytesIO(line * 100).read, out)
    assert packed.size_bytes < 3 * len(line)
