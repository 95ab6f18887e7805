"""hyperstart's jobs on a container's files: stat, archives both ways, changes, layers."""

import errno
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hyperstart_client import Host, Refused, start
from hyperstart_guest import create, needs_busybox, needs_root, shell

from hyper.agent import messages as m

pytestmark = [needs_root, needs_busybox]


class Jobs:
    """Jobs on the container c1, numbered from 100."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.number = 100

    def _run(self, message: m.Message, content: bytes | None = None) -> bytes:
        self.host.request(message)
        if content is not None:
            self._feed(content)
        ended = self.host.exited(self.number)
        if ended.exit_code or ended.signal:
            failure = m.decode(m.Error.TYPE, self.host.stderr(self.number))
            assert isinstance(failure, m.Error)
            raise Refused(failure)
        return self.host.stdout(self.number)

    def _feed(self, content: bytes) -> None:
        """Write a job's input within its window; the end of a job that failed ends it too."""
        stream = self.number * 4
        sent = 0

        def ended() -> bool:
            return any(
                isinstance(frame.message, m.ProcessExited)
                and frame.message.process_id == self.number
                for frame in self.host.frames
            )

        while sent < len(content) and not ended():
            room = self.host.windows.get(stream, 0) + m.STREAM_WINDOW - sent
            part = content[sent : sent + min(room, m.DATA_MAX)]
            if not part:
                self.host.pump(0.5)
                continue
            self.host.send(m.Data(sent, part), stream_id=stream)
            sent += len(part)
        self.host.send(m.Data(sent, b""), stream_id=stream, flags=m.FLAG_EOF)

    def next(self) -> int:
        self.number += 1
        return self.number

    def stat(self, path: str) -> m.FileStatus:
        found = m.decode(m.FileStatus.TYPE, self._run(m.FileStat("c1", self.next(), path)))
        assert isinstance(found, m.FileStatus)
        return found

    def read(self, path: str, name: str, volumes: bool = True) -> dict[str, tarfile.TarInfo]:
        data = self.read_raw(path, name, volumes)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {member.name: member for member in archive}

    def read_raw(self, path: str, name: str, volumes: bool = True) -> bytes:
        return self._run(m.ArchiveRead("c1", self.next(), path, name, volumes))

    def write(self, path: str, archive: bytes, keep: bool = False, owner: str = "") -> None:
        self._run(m.ArchiveWrite("c1", self.next(), path, keep, owner), archive)

    def size(self) -> m.ContainerSize:
        found = m.decode(m.ContainerSize.TYPE, self._run(m.SizeRead("c1", self.next())))
        assert isinstance(found, m.ContainerSize)
        return found

    def changes(self) -> list[str]:
        text = self._run(m.ChangesRead("c1", self.next())).decode()
        return [f"{entry[0]} {entry[1:]}" for entry in text.split("\0")[:-1]]

    def layer(self) -> list[str]:
        data = self._run(m.LayerRead("c1", self.next()))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return archive.getnames()


@pytest.fixture
def jobs(host: Host) -> Jobs:
    """Jobs on a container that was never started."""
    create(host)
    return Jobs(host)


def change(jobs: Jobs, script: str) -> None:
    """Run a script as the container's first process."""
    jobs.host.request(start(1, "sh", "-c", script, main=True))
    assert jobs.host.exited(1).exit_code == 0, jobs.host.stderr(1)


Content = bytes | str | None


def tar(*members: tuple[str, Content], **fields: int) -> bytes:
    """Return an archive: bytes are a file, text is a symbolic link's target, None a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = fields.get("mode", 0o644), fields.get("mtime", 0)
            info.uid, info.gid = fields.get("uid", 0), fields.get("gid", 0)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


# --- stat -----------------------------------------------------------------------------------------


def test_stat_tells_kind_size_and_time(jobs: Jobs) -> None:
    found = jobs.stat("/data/file")
    assert stat.S_ISREG(found.mode)
    assert (found.size_bytes, found.link_target) == (15, b"")
    assert stat.S_ISDIR(jobs.stat("/data").mode)
    assert stat.S_ISDIR(jobs.stat("/").mode)
    assert jobs.stat("/tmp/").mode & 0o7777 == 0o1777


def test_stat_of_what_is_not_there(jobs: Jobs) -> None:
    for path, number in (("/nope", 2), ("/data/file/x", 20), ("/data/file/", 20)):
        with pytest.raises(Refused) as refused:
            jobs.stat(path)
        assert (refused.value.error.step, refused.value.error.errno) == ("path", number)


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/data/below", b"/data/below"),
        ("../../../../etc/passwd", b"/etc/passwd"),
        ("../tmp/one", b"/data"),
        ("/nowhere/at/all", b"/nowhere/at/all"),
    ],
)
def test_a_link_leads_to_where_it_ends_inside(jobs: Jobs, target: str, leads_to: bytes) -> None:
    jobs.write("/tmp", tar(("one", "/data"), ("link", target)))
    found = jobs.stat("/tmp/link")
    assert stat.S_ISLNK(found.mode)
    assert found.link_target == leads_to


def test_links_in_a_circle_end(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("a", "b"), ("b", "a")))
    with pytest.raises(Refused) as refused:
        jobs.stat("/tmp/a")
    assert refused.value.error.errno == 40


# --- archives out ---------------------------------------------------------------------------------


def test_an_archive_of_a_directory_is_called_as_asked(jobs: Jobs) -> None:
    assert sorted(jobs.read("/data", "data")) == ["data", "data/below", "data/file"]
    assert sorted(jobs.read("/data/.", ".")) == [".", "./below", "./file"]
    assert sorted(jobs.read("/data/file", "other")) == ["other"]
    assert "bin/busybox" in jobs.read("/", "")


def test_what_is_in_an_archive_is_what_is_there(jobs: Jobs, tmp_path: Path) -> None:
    os.mknod(tmp_path / "test-layers/0/data/socket", stat.S_IFSOCK | 0o644)
    long = "n" * 200
    script = f"""
        mkdir -p /t/d; cd /t; echo content > f; ln f d/hard; ln -s f soft; mkfifo pipe
        mknod char c 1 3; mknod block b 7 1; chown 1000:70000 f; chmod 4750 f
        echo x > {long}; touch -d @1000000000 d; test -S /data/socket
    """
    change(jobs, script)
    found = jobs.read("/t", "t")
    assert len(found) == 9
    assert sorted(jobs.read("/data", "data")) == ["data", "data/below", "data/file"]
    file = found["t/d/hard"]
    assert (file.uid, file.gid, file.mode) == (1000, 70000, 0o4750)
    assert (found["t/f"].type, found["t/f"].linkname) == (tarfile.LNKTYPE, "t/d/hard")
    assert (found["t/soft"].type, found["t/soft"].linkname) == (tarfile.SYMTYPE, "f")
    assert found["t/pipe"].isfifo()
    assert (found["t/char"].devmajor, found["t/char"].devminor) == (1, 3)
    assert found["t/block"].isblk()
    assert found[f"t/{long}"].size == 2
    assert found["t/d"].mtime == 1000000000


def test_extended_attributes_are_kept_both_ways(jobs: Jobs) -> None:
    out = io.BytesIO()
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("capable")
        info.pax_headers = {
            "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")
        }
        archive.addfile(info)
    jobs.write("/tmp", out.getvalue())
    found = jobs.read("/tmp/capable", "capable")["capable"]
    kept = found.pax_headers["SCHILY.xattr.security.capability"]
    assert kept.encode("utf-8", "surrogateescape") == capability


def test_a_sparse_file_keeps_its_holes_and_its_bytes(jobs: Jobs) -> None:
    size = 8 << 20
    change(jobs, f"truncate -s {size} /big; printf end | dd of=/big bs=1 seek=5000000 conv=notrunc")
    data = jobs.read_raw("/big", "big")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        reader = archive.extractfile("big")
        assert reader is not None
        content = reader.read()
    assert len(content) == size
    assert content[5000000:5000003] == b"end"
    assert content.count(0) == size - 3
    jobs.write("/tmp", data)
    jobs.host.request(start(2, "sh", "-c", "du -k /tmp/big; cmp /big /tmp/big", main=True))
    assert jobs.host.exited(2).exit_code == 0
    assert int(jobs.host.stdout(2).split()[0]) <= 128


def test_names_that_are_no_text_are_archived(jobs: Jobs) -> None:
    change(jobs, "cd /tmp; touch \"$(printf 'a\\377b')\" \"$(printf 'line\\nbreak')\"")
    data = jobs.read_raw("/tmp", "tmp")
    assert b"tmp/a\xffb" in data
    assert b"tmp/line\nbreak" in data


# --- archives in ----------------------------------------------------------------------------------


def test_what_is_written_is_there(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("d", None), ("d/f", b"hello"), ("l", "d/f"), uid=5, gid=6, mtime=99))
    found = jobs.read("/tmp", "tmp")
    assert (found["tmp/d/f"].uid, found["tmp/d/f"].gid, found["tmp/d/f"].mtime) == (5, 6, 99)
    assert found["tmp/d"].mtime == 99
    assert (found["tmp/l"].uid, found["tmp/l"].linkname) == (5, "d/f")


def test_missing_directories_are_made(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("a/b/c", b"x")))
    found = jobs.read("/tmp/a", "a")
    assert (found["a/b"].mode, found["a/b"].uid) == (0o755, 0)
    assert found["a/b/c"].size == 1


def test_all_can_be_given_to_the_user(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("f", b"x"), uid=5), owner="bob")
    assert jobs.read("/tmp/f", "f")["f"].uid == 1000


def test_kinds_are_kept_if_asked(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("d", None), ("d/in", b""), ("f", b"")))
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", tar(("d", b"x")), keep=True)
    assert (refused.value.error.step, refused.value.error.object) == ("directory", "d")
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", tar(("f", None)), keep=True)
    assert refused.value.error.step == "non-directory"
    jobs.write("/tmp", tar(("d", b"x"), ("f", None)))
    assert jobs.read("/tmp", "tmp")["tmp/d"].isreg()


def test_a_directory_is_merged(jobs: Jobs) -> None:
    jobs.write("/tmp", tar(("d", None), ("d/old", b"")))
    jobs.write("/tmp", tar(("d", None), ("d/new", b"")))
    assert sorted(jobs.read("/tmp/d", "d")) == ["d", "d/new", "d/old"]


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../out", "a//b", ".."])
def test_a_name_that_is_not_clean_is_refused(jobs: Jobs, name: str) -> None:
    data = tar(("AAAAAAAAAA", b"x"))
    block = bytearray(data[:512])
    block[:10] = name.encode().ljust(10, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", bytes(block) + data[512:])
    assert refused.value.error.step == "archive"


@pytest.mark.parametrize("cut", [100, 512, 700, 1024, 1536])
def test_an_archive_that_is_cut_off_is_refused(jobs: Jobs, cut: int) -> None:
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", tar(("f", b"x" * 600))[:cut])
    assert refused.value.error.step == "archive"


def test_noise_is_refused(jobs: Jobs) -> None:
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", os.urandom(4096))
    assert refused.value.error.step == "archive"


def test_a_file_is_no_place_to_unpack(jobs: Jobs) -> None:
    with pytest.raises(Refused) as refused:
        jobs.write("/data/file", tar(("f", b"")))
    assert (refused.value.error.step, refused.value.error.errno) == ("path", 20)


def test_a_read_only_root_is_refused(host: Host) -> None:
    create(host, read_only_root=True)
    with pytest.raises(Refused) as refused:
        Jobs(host).write("/tmp", tar(("f", b"")))
    assert (refused.value.error.step, refused.value.error.errno) == ("rootfs", 30)


# --- hostile containers ---------------------------------------------------------------------------


def test_links_of_a_container_lead_nowhere_else(jobs: Jobs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    up = "/".join([".."] * 30)
    change(jobs, f"ln -s {secret} /abs; ln -s {up}{secret} /up; ln -s /proc/1/root /magic")
    for path in ("/abs/.", "/up/", "/magic/etc/passwd", f"{secret}"):
        with pytest.raises(Refused) as refused:
            jobs.read(path, "x")
        assert refused.value.error.errno in (2, 20)
    jobs.write("/", tar(("data/dir", str(tmp_path))))
    with pytest.raises(Refused):
        jobs.write("/data/dir", tar(("planted", b"")))
    with pytest.raises(Refused):
        jobs.write("/data", tar(("dir/planted", b"")))
    assert not (tmp_path / "planted").exists()


def test_a_hard_link_to_outside_is_refused(jobs: Jobs) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("hard")
        info.type, info.linkname = tarfile.LNKTYPE, "../etc/passwd"
        archive.addfile(info)
    with pytest.raises(Refused) as refused:
        jobs.write("/tmp", out.getvalue())
    assert refused.value.error.step == "archive"


def test_devices_of_a_container_are_not_opened(jobs: Jobs) -> None:
    change(jobs, "mknod /zero c 1 5; mkfifo /fifo; mkdir /dd; mv /zero /fifo /dd")
    assert {item.type for item in jobs.read("/dd", "dd").values()} == {
        tarfile.DIRTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
    }


def test_a_tree_as_deep_as_a_container_can_make_it_is_read(jobs: Jobs) -> None:
    script = "i=0; while [ $i -lt 600 ]; do mkdir dir; cd -P dir; i=$((i+1)); done; echo x > end"
    change(jobs, f"mkdir /deep; cd /deep; {script}")
    assert jobs.read_raw("/deep", "deep").count(b"end") >= 1


# --- changes and layers ---------------------------------------------------------------------------


def test_a_fresh_container_has_no_changes(running: Host) -> None:
    jobs = Jobs(running)
    assert jobs.changes() == []
    assert jobs.layer() == []


def test_changes_are_added_changed_and_deleted(jobs: Jobs) -> None:
    change(
        jobs,
        "echo new > /data/new; rm /data/file; mkdir -p /a/b; echo 2 >> /etc/group;"
        "rm -r /data/below; mkdir /data/below; touch /data/below/again; touch /gone; rm /gone",
    )
    assert jobs.changes() == [
        "A /a",
        "A /a/b",
        "C /data",
        "C /data/below",
        "A /data/below/again",
        "D /data/file",
        "A /data/new",
        "C /etc",
        "C /etc/group",
    ]


def test_a_replaced_directory_shows_what_it_lost(jobs: Jobs) -> None:
    change(jobs, "rm -r /data; mkdir /data; echo other > /data/other")
    assert jobs.changes() == ["C /data", "D /data/below", "D /data/file", "A /data/other"]
    names = jobs.layer()
    assert names == ["data", "data/.wh..wh..opq", "data/other"]


def test_a_directory_replaced_by_a_file_shows_what_it_lost(jobs: Jobs) -> None:
    change(jobs, "rm -r /data; echo x > /data")
    assert jobs.changes() == ["C /data", "D /data/below", "D /data/file"]


def test_what_was_only_copied_up_is_no_change(jobs: Jobs) -> None:
    change(jobs, "chmod 600 /etc/group; chmod 644 /etc/group; chmod 700 /data/below")
    assert jobs.changes() == ["C /data", "C /data/below"]


def test_a_layer_has_whiteouts(jobs: Jobs) -> None:
    change(jobs, "rm /data/file; echo x > /data/new")
    assert jobs.layer() == ["data", "data/.wh.file", "data/new"]


def test_mount_points_are_no_changes_but_what_is_put_beside_them_is(jobs: Jobs) -> None:
    change(jobs, "test -d /proc/self; mkdir /etc/conf.d; echo x > /etc/conf.d/x")
    assert jobs.changes() == ["C /etc", "A /etc/conf.d", "A /etc/conf.d/x"]


def test_the_table_of_mounts_is_there_and_no_change(jobs: Jobs) -> None:
    change(
        jobs, 'test "$(readlink /etc/mtab)" = /proc/mounts; grep -q overlay /etc/mtab; rm /bin/['
    )
    assert jobs.changes() == ["C /bin", "D /bin/["] and jobs.layer() == ["bin", "bin/.wh.["]


def test_another_table_of_mounts_is_a_change(jobs: Jobs) -> None:
    change(jobs, "ln -snf /proc/self/mounts /etc/mtab")
    assert jobs.changes() == ["C /etc", "A /etc/mtab"]


# --- beside the container -------------------------------------------------------------------------


def test_a_running_container_sees_what_is_written(running: Host) -> None:
    Jobs(running).write("/data", tar(("sent", b"by the host")))
    assert shell(running, 2, "cat /data/sent") == "by the host"


def test_of_a_running_container_only_given_files_are_written(host: Host) -> None:
    given = m.Mount(kind=2, destination="/etc/hosts", mode=0o600, data=b"before, and longer")
    create(host, mounts=(given,))
    host.request(start(1, "sleep", "100", main=True))
    host.request(m.FileWrite(container="c1", path="/etc/hosts", content=b"after"))
    assert shell(host, 2, "cat /etc/hosts; stat -c %a /etc/hosts") == "after600\n"
    with pytest.raises(Refused) as refused:
        host.request(m.FileWrite(container="c1", path="/etc/passwd", content=b"root"))
    assert refused.value.error.errno == errno.EBUSY


def test_a_job_is_not_among_the_containers_processes(running: Host) -> None:
    running.acknowledge = False
    running.request(m.ArchiveRead("c1", 50, "/bin", "bin", True))
    running.acknowledge = True
    assert shell(running, 2, "ls -d /proc/[0-9]*").split() == ["/proc/1", f"/proc/{2}"]
    running.request(m.ContainerRemove("c1"))
    assert running.exited(50).signal in (0, 9)


def test_removal_of_a_container_ends_its_jobs(host: Host) -> None:
    create(host)
    host.acknowledge = False
    host.request(m.ArchiveRead("c1", 50, "/", "", True))
    host.request(m.ContainerRemove("c1"))
    host.acknowledge = True


def test_an_unknown_container_is_refused(host: Host) -> None:
    with pytest.raises(Refused) as refused:
        host.request(m.FileStat("nope", 7, "/"))
    assert refused.value.error.step == "container"


_WRITES = """
echo 12345 > /six; ln /six /again; ln -s five /link; mkdir /d; mkfifo /d/p; rm /data/file
head -c 1000000 /dev/zero > /d/large; truncate -s 5000000 /sparse; chmod 600 /etc/group
cat /etc/group
"""


def test_a_containers_size_is_the_lengths_of_what_it_wrote(host: Host) -> None:
    create(host)
    jobs = Jobs(host)
    assert jobs.size() == m.ContainerSize(True, 0)
    host.request(start(1, "sleep", "600", main=True))
    copied = len(shell(host, 2, _WRITES))
    written = 6 + len("five") + 1_000_000 + 5_000_000 + copied
    assert jobs.size() == m.ContainerSize(True, written)
    assert host.request(m.ContainerRetire("c1")) == m.ContainerSize(True, written)


def test_a_container_that_wrote_many_files_ends_without_being_measured(host: Host) -> None:
    create(host)
    host.request(start(1, "sleep", "600", main=True))
    shell(host, 2, "cd /tmp; for i in $(seq 2100); do echo $i > $i; done")
    assert Jobs(host).size().written_bytes == sum(len(f"{n}\n") for n in range(1, 2101))
    answer = host.request(m.ContainerRetire("c1"))
    assert isinstance(answer, m.ContainerSize) and not answer.known
