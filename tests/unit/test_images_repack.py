"""Archives of clients become the one form that guests read, whatever form they have."""

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard

from hyper.core.errors import InvalidArgument, Unavailable
from hyper.images.repack import repack


async def repacked(data: bytes, step: int = 700) -> bytes:
    """Return what comes out when `data` comes in pieces."""
    out = bytearray()

    async def write(piece: bytes) -> None:
        out.extend(piece)

    await repack(_pieces(data, step), write)
    return bytes(out)


async def _pieces(data: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]


def sample(form: int = tarfile.PAX_FORMAT, name: str = "d/file") -> bytes:
    """Return an archive of a directory, a file and a hard link to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        directory = tarfile.TarInfo("d")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        info = tarfile.TarInfo(name)
        info.size, info.uid = 5000, 3_000_000
        archive.addfile(info, io.BytesIO(b"x" * 5000))
        link = tarfile.TarInfo("d/link")
        link.type, link.linkname = tarfile.LNKTYPE, name
        archive.addfile(link)
    return out.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    """Return the members of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["d/file", "./d/file", "/d/file", "d/x/../file"])
async def test_names_become_relative_and_clean(form: int, name: str) -> None:
    found = members(await repacked(sample(form, name)))
    assert sorted(found) == ["d", "d/file", "d/link"]
    assert (found["d/file"].size, found["d/file"].uid) == (5000, 3_000_000)
    assert found["d/link"].linkname == "d/file"


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
async def test_compressed_archives_are_unpacked(compress: object) -> None:
    data = compress(sample())  # type: ignore[operator]
    assert await repacked(data) == await repacked(sample())


async def test_a_sparse_archive_gets_its_zeros(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    for form in ("gnu", "posix"):
        argv = ["tar", "-cS", f"--format={form}", "-C", str(tmp_path), "sparse"]
        data = subprocess.run(argv, capture_output=True, check=True).stdout
        assert len(data) < 100_000
        out = await repacked(data)
        with tarfile.open(fileobj=io.BytesIO(out)) as archive:
            reader = archive.extractfile("sparse")
            assert reader is not None
            assert reader.read() == bytes(3_000_000) + b"end"
        assert b"GNU.sparse" not in out


async def test_what_follows_the_end_is_read_and_dropped() -> None:
    assert await repacked(sample() + b"more" * 100_000) == await repacked(sample())


async def test_nothing_is_an_empty_archive() -> None:
    assert members(await repacked(b"")) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"no archive at all" * 100,
        gzip.compress(sample())[:-40],
        sample()[:2000],
        sample(name="../outside"),
        sample(name="d/../../outside"),
    ],
)
async def test_what_is_no_such_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await repacked(data)


async def test_an_error_of_the_source_is_told() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield sample()[:100]
        raise ConnectionResetError("the client went away")

    async def write(piece: bytes) -> None:
        pass

    with pytest.raises(ConnectionResetError):
        await repack(source(), write)


async def test_an_error_of_the_writer_is_told() -> None:
    async def write(piece: bytes) -> None:
        raise Unavailable("the guest is gone")

    with pytest.raises(Unavailable):
        await repack(_pieces(sample(), 700), write)
