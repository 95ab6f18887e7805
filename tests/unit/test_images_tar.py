"""The tar reader agrees with the standard library on what is right and refuses what is not."""

import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyper.core.errors import Failure
from hyper.images.tarstream import Entry, Kind, TarReader, header, padding
from tests.images_support import DIRECTORY, LINK, SYMLINK, Member, tar


def read(data: bytes, step: int = 1000) -> list[tuple[Entry, bytes]]:
    stream = io.BytesIO(data)
    reader = TarReader(lambda size: stream.read(min(size, step)))
    return [(entry, b"".join(reader.content())) for entry in reader]


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150)


@given(
    st.lists(st.tuples(_NAMES, st.binary(max_size=2000), st.integers(0, 2**32 - 1)), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 5000),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_tarfile_writes_is_read_back(
    members: list[tuple[str, bytes, int]], form: int, step: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content, uid in members:
            info = tarfile.TarInfo("n" + name.rstrip("/"))
            info.size, info.uid, info.mtime = len(content), uid, uid
            archive.addfile(info, io.BytesIO(content))
    found = [(e.path, content, e.uid, e.mtime_s) for e, content in read(out.getvalue(), step)]
    expected = [("n" + n.rstrip("/")).encode() for n, _, _ in members]
    assert [f[0] for f in found] == expected
    assert [f[1:] for f in found] == [(c, uid, uid) for _, c, uid in members]


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: 0 not in name),
    st.sampled_from(list(Kind)),
    st.integers(0, 2**33),
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(st.sampled_from([b"user.a", b"user.b"]), st.binary(max_size=60)), max_size=2
    ),
)
def test_what_we_write_is_read_back_and_tarfile_reads_it(
    name: bytes, kind: Kind, size: int, uid: int, xattrs: list[tuple[bytes, bytes]]
) -> None:
    entry = Entry(
        name.rstrip(b"/") or b"x",
        kind,
        size if kind is Kind.FILE else 0,
        uid=uid,
        link=name if kind in (Kind.SYMLINK, Kind.HARDLINK) else b"",
        xattrs=tuple(sorted(dict(xattrs).items())),
    )
    data = header(entry)
    assert len(data) % 512 == 0
    stream = io.BytesIO(data)
    assert next(iter(TarReader(stream.read))) == entry


def test_old_gnu_and_all_pax_sparse_files_are_expanded(tmp_path: Path) -> None:
    with open(tmp_path / "hole", "wb") as file:
        for number in range(40):
            file.seek(number * 50_000)
            file.write(bytes([number + 1]) * 4096)
        file.truncate(3_000_000)
    expected = (tmp_path / "hole").read_bytes()
    for form in (["gnu"], *(["pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))):
        data = subprocess.run(
            ["tar", "-S", f"--format={form[0]}", *form[1:], "-C", str(tmp_path), "-c", "hole"],
            check=True,
            capture_output=True,
        ).stdout
        [(entry, content)] = read(data)
        assert (entry.path, entry.size) == (b"hole", 3_000_000)
        assert content == expected


def test_every_truncated_archive_is_refused_or_ends_between_entries() -> None:
    data = tar("a", Member("b" * 200, content=b"x" * 700), "c/")
    whole = [entry.path for entry, _ in read(data)]
    for end in range(0, len(data) - 1024, 64):
        try:
            found = [entry.path for entry, _ in read(data[:end])]
        except Failure as err:
            assert "unexpected end" in str(err)
        else:
            assert found == whole[: len(found)]


def test_a_damaged_archive_is_refused_or_read_but_never_crashes() -> None:
    data = tar("a", Member("b" * 200, content=b"x" * 700), "c/", Member("l", SYMLINK, link="a"))
    chance = random.Random(1)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read(bytes(damaged))
        except Failure:
            pass


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 512, "checksum|number"),
        (b"hello, world" * 100, "number|checksum"),
        (header(Entry(b"x", Kind.FILE, size=10)), "unexpected end"),
    ],
)
def test_what_is_no_archive_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Failure, match=message):
        read(data)


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    block = bytearray(header(Entry(b"x", Kind.FILE, size=64 * 1024 * 1024)))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(Failure, match="header of 67108864 bytes"):
        read(bytes(block))


@pytest.mark.parametrize(
    "record",
    [b"8 path=a\n", b"7 path=\n", b"x path=a\n", b"999999 path=a\n", b"10 path\nabc", b"0 a=b\n"],
)
def test_malformed_pax_records_are_refused(record: bytes) -> None:
    block = bytearray(header(Entry(b"x", Kind.FILE, size=len(record))))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data = bytes(block) + record + padding(len(record)) + header(Entry(b"y", Kind.FILE))
    with pytest.raises(Failure, match="malformed pax"):
        read(data)


def test_links_and_directories_have_no_content_whatever_their_size_says() -> None:
    data = tar(Member("d", DIRECTORY), Member("l", LINK, link="x"), "f")
    assert [(e.kind, c) for e, c in read(data)] == [
        (Kind.DIRECTORY, b""),
        (Kind.HARDLINK, b""),
        (Kind.FILE, b"f"),
    ]
