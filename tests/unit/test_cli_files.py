"""hyper cp and the archives it packs and unpacks."""

import base64
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, Request, fake_daemon

from hyper.cli.__main__ import run
from hyper.core.errors import InvalidArgument
from hyper.sdk.tars import pack, pack_bytes, unpack

DIRECTORY = 1 << 31


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path) as fake:
        monkeypatch.setenv("HYPER_HOST", fake.url)
        monkeypatch.chdir(tmp_path)
        fake.on("GET", "/containers/web/json", {"Id": "a"})
        yield fake


def stat_header(name: str, mode: int) -> str:
    text = json.dumps({"name": name, "size": 1, "mode": mode, "linkTarget": ""})
    return base64.b64encode(text.encode()).decode()


def serve(daemon: FakeDaemon, entries: dict[str, int], archive: bytes = b"") -> None:
    """Answer stats for the paths in `entries` (path: mode), and GET with `archive`."""

    def answer(request: Request) -> object:
        path = request.query["path"]
        if path not in entries:
            return 404, {"message": f"Could not find the file {path} in container web"}
        header = stat_header(os.path.basename(path), entries[path])
        head = f"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {header}\r\n"
        body = b"" if request.method == "HEAD" else archive
        request.send(f"{head}Content-Length: {len(archive)}\r\n\r\n".encode() + body)
        return None

    daemon.on("HEAD", "/containers/web/archive", answer)
    daemon.on("GET", "/containers/web/archive", answer)
    daemon.on("PUT", "/containers/web/archive", (200, b""))


def archive_of(*members: tuple[str, bytes | None]) -> bytes:
    """Return a tar archive of files, of directories where the contents are None."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o750
            if data is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def sent(daemon: FakeDaemon) -> tuple[str, dict[str, bytes | None]]:
    """Return where the last upload went, and its members."""
    request = daemon.asked("PUT")[-1]
    with tarfile.open(fileobj=io.BytesIO(request.body)) as archive:
        members: dict[str, bytes | None] = {}
        for member in archive:
            source = archive.extractfile(member)
            members[member.name] = source.read() if source else None
    return request.query["path"], members


def test_a_file_goes_into_a_directory(daemon: FakeDaemon, tmp_path: Path) -> None:
    serve(daemon, {"/dir": DIRECTORY})
    (tmp_path / "a.txt").write_bytes(b"x" * 3_000_000)
    assert run(["cp", "a.txt", "web:/dir"]) == 0
    assert sent(daemon) == ("/dir", {"a.txt": b"x" * 3_000_000})


def test_a_file_gets_a_new_name(daemon: FakeDaemon, tmp_path: Path) -> None:
    serve(daemon, {})
    (tmp_path / "a.txt").write_bytes(b"x")
    assert run(["cp", "a.txt", "web:/dir/b.txt"]) == 0
    assert sent(daemon) == ("/dir", {"b.txt": b"x"})


def test_a_directory_or_its_contents_go_in(daemon: FakeDaemon, tmp_path: Path) -> None:
    serve(daemon, {"/dir": DIRECTORY})
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "f").write_bytes(b"1")
    os.symlink("f", tmp_path / "tree" / "link")
    assert run(["cp", "tree", "web:/dir"]) == 0
    expected = {"tree": None, "tree/f": b"1", "tree/link": b"1", "tree/sub": None}
    assert sent(daemon) == ("/dir", expected)
    assert run(["cp", "tree/.", "web:/dir"]) == 0
    assert "./f" in sent(daemon)[1]
    assert run(["cp", "tree", "web:/new"]) == 0
    assert "new/f" in sent(daemon)[1]


def test_what_cannot_be_copied_in(
    daemon: FakeDaemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    serve(daemon, {"/file": 0o644})
    (tmp_path / "tree").mkdir()
    (tmp_path / "a").write_bytes(b"")
    assert run(["cp", "tree", "web:/file"]) == 1
    assert capfd.readouterr().err == "cannot copy directory\n"
    assert run(["cp", "a", "web:/none/"]) == 1
    assert "no such directory" in capfd.readouterr().err
    assert run(["cp", "nothing", "web:/"]) == 1
    assert "no such file or directory" in capfd.readouterr().err
    assert run(["cp", "a", "b"]) == 1
    assert capfd.readouterr().err == "must specify at least one container source\n"
    assert run(["cp", "a:b", "c:d"]) == 1
    assert capfd.readouterr().err == "copying between containers is not supported\n"


@pytest.mark.parametrize(
    ("target", "where"),
    [("out", "out"), ("here", "here/data"), ("here/other", "here/other"), (".", "data")],
)
def test_a_file_comes_out(daemon: FakeDaemon, tmp_path: Path, target: str, where: str) -> None:
    serve(daemon, {"/etc/data": 0o644}, archive_of(("data", b"hello")))
    (tmp_path / "here").mkdir()
    assert run(["cp", "web:/etc/data", target]) == 0
    assert (tmp_path / where).read_bytes() == b"hello"
    assert (tmp_path / where).stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    ("source", "target", "where"),
    [
        ("/tree", "new", "new/f"),
        ("/tree", "here", "here/tree/f"),
        ("/tree/.", "here", "here/f"),
        ("/tree/.", "new", "new/f"),
    ],
)
def test_a_directory_comes_out(
    daemon: FakeDaemon, tmp_path: Path, source: str, target: str, where: str
) -> None:
    archive = archive_of(("tree", None), ("tree/f", b"1"), ("tree/sub", None))
    serve(daemon, {source: DIRECTORY}, archive)
    header = stat_header("tree", DIRECTORY)
    daemon.on(
        "GET",
        "/containers/web/archive",
        lambda r: r.send(
            f"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {header}\r\n"
            f"Content-Length: {len(archive)}\r\n\r\n".encode()
            + archive
        ),
    )
    (tmp_path / "here").mkdir()
    assert run(["cp", f"web:{source}", target]) == 0
    assert (tmp_path / where).read_bytes() == b"1"


def test_dash_is_an_archive_on_stdout(
    daemon: FakeDaemon, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    archive = archive_of(("f", b"1"))
    serve(daemon, {"/f": 0o644}, archive)
    assert run(["cp", "web:/f", "-"]) == 0
    assert capfdbinary.readouterr().out == archive


def malicious(build: Callable[[tarfile.TarFile], None]) -> Iterator[bytes]:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        build(archive)
    return iter([target.getvalue()])


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("a/../../evil")],
        [member("link", tarfile.SYMTYPE, ".."), member("link/evil")],
        [member("hard", tarfile.LNKTYPE, "../secret")],
        [member("l", tarfile.SYMTYPE, ".."), member("hard", tarfile.LNKTYPE, "l/secret")],
        [member("device", tarfile.CHRTYPE)],
    ],
)
def test_an_archive_cannot_reach_outside(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "root"
    root.mkdir()

    def build(archive: tarfile.TarFile) -> None:
        for item in members:
            archive.addfile(item)

    with pytest.raises((InvalidArgument, OSError)):
        unpack(malicious(build), str(root))
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]
    assert (tmp_path / "secret").read_text() == "s"


def test_absolute_names_land_inside(tmp_path: Path) -> None:
    unpack(malicious(lambda archive: archive.addfile(member("/etc/x"))), str(tmp_path))
    assert (tmp_path / "etc" / "x").exists()


def test_an_existing_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("v")
    root = tmp_path / "root"
    root.mkdir()
    os.symlink("../victim", root / "f")
    unpack(pack_bytes("f", b"new"), str(root))
    assert (tmp_path / "victim").read_text() == "v"
    assert (root / "f").read_text() == "new"


def test_a_tree_survives_packing_and_unpacking(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "locked").mkdir(parents=True)
    (source / "locked" / "f").write_bytes(bytes(range(256)) * 300)
    (source / "locked").chmod(0o500)
    (source / ("n" * 120)).write_bytes(b"long name")
    os.link(source / ("n" * 120), source / "second")
    target = tmp_path / "target"
    target.mkdir()
    unpack(pack(str(source), "copy"), str(target))
    copy = target / "copy"
    assert (copy / "locked" / "f").read_bytes() == (source / "locked" / "f").read_bytes()
    assert (copy / "locked").stat().st_mode & 0o777 == 0o500
    assert (copy / "second").stat().st_ino == (copy / ("n" * 120)).stat().st_ino
    (source / "locked").chmod(0o700)
    (copy / "locked").chmod(0o700)
