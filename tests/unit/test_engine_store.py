"""The state database: rows survive, names are unique, transitions carry their events."""

import sqlite3
from dataclasses import replace

import pytest

from hyper.core.errors import Conflict, Failure
from hyper.core.pod_spec import PodSpec
from hyper.core.spec import ContainerSpec, Mount, MountKind, Resources
from hyper.engine.events import Event
from hyper.engine.states import ContainerState, PodState
from hyper.engine.store import ContainerRow, PodRow, Store
from hyper.engine.views import Command, MountView, Status, VolumeView


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def pod(name="p1"):
    return PodRow("id-" + name, 1, PodSpec(name, vcpus=2), PodState.STOPPED, "", "")


def container(name="c1", pod_id="id-p1", mounts=()):
    spec = ContainerSpec(
        "busybox",
        command=("sh", "-c", "x"),
        mounts=(Mount(MountKind.TMPFS, "/t", size_bytes=5),),
        resources=Resources(cpus=1.5),
    )
    command = Command(("sh",), (), ("sh",), ("A=b",), "/", "", "SIGTERM")
    return ContainerRow("id-" + name, name, pod_id, 2, spec, command, tuple(mounts), Status())


def test_what_is_stored_is_read_back_by_another_daemon(store, tmp_path):
    row = container()
    store.add_container(row, pod(), [Event("container", "create", row.id, time_ns=5)])
    running = Status(state=ContainerState.RUNNING, pid=7, started_ns=9)
    store.put_status(row.id, running, [Event("container", "start", row.id, time_ns=6)])
    store.pod_table.put_state("id-p1", PodState.RUNNING, "vm", "res")
    again = Store(tmp_path / "state.db")
    assert again.containers() == [replace(row, status=running)]
    assert again.pod_table.all() == [
        replace(pod(), state=PodState.RUNNING, vm="vm", resources="res")
    ]
    assert [event.action for event in again.events(5, 6)] == ["create", "start"]
    again.close()


def test_a_taken_name_is_a_conflict_in_dockers_words_and_adds_nothing(store):
    store.add_container(container(), pod(), [])
    with pytest.raises(
        Conflict, match='container name "/c1" is already in use by container "id-c1"'
    ):
        store.add_container(replace(container(), id="other"), pod("p2"), [])
    assert [row.id for row in store.pod_table.all()] == ["id-p1"]


def test_removing_a_lone_container_removes_its_pod(store):
    store.add_container(container(), pod(), [])
    store.remove_container("id-c1", "id-p1", [])
    assert store.containers() == [] and store.pod_table.all() == []


def test_a_volume_in_use_cannot_be_removed(store):
    store.volume_table.put(VolumeView("data", "local", "/v", 1), [])
    mounts = [MountView(MountKind.VOLUME, "/data", name="data", source="/v")]
    store.add_container(container(mounts=mounts), pod(), [])
    assert store.volume_table.all()[0].reference_count == 1
    with pytest.raises(Conflict, match=r"volume is in use - \[id-c1\]"):
        store.volume_table.remove("data", [])
    store.remove_container("id-c1", "id-p1", [])
    store.volume_table.remove("data", [])
    assert store.volume_table.all() == []


def test_renaming_to_a_taken_name_keeps_the_old_one(store):
    store.add_container(container(), pod(), [])
    store.add_container(container("c2", "id-p2"), pod("p2"), [])
    with pytest.raises(Conflict):
        store.rename("id-c2", "c1", [])
    assert [row.name for row in store.containers()] == ["c1", "c2"]


def test_a_database_of_a_newer_release_is_refused(tmp_path):
    path = tmp_path / "state.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Failure, match="schema 99"):
        Store(path)


def test_a_file_that_is_no_database_is_refused_clearly(tmp_path):
    path = tmp_path / "state.db"
    path.write_text("not a database, not at all " * 100)
    with pytest.raises(Failure, match="cannot open the state database"):
        Store(path)


def test_a_row_of_another_release_is_named_in_one_line(tmp_path):
    path = tmp_path / "state.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO pod VALUES ('x', 'x', 1, '[]')")
        db.execute("INSERT INTO pod_state VALUES ('x', 'stopped', '', '')")
    db.close()
    store = Store(path)
    with pytest.raises(Failure, match=r"holds a PodSpec this release cannot read: .*--root"):
        store.pod_table.all()
    store.close()


def test_a_database_from_before_networks_says_what_is_missing(tmp_path, caplog):
    path = tmp_path / "state.db"
    Store(path).close()
    assert not caplog.records
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE network")
        db.execute("DROP TABLE service")
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = Store(path)
    store.add_container(container(), pod(), [])
    assert store.networks.all() == [] and len(store.containers()) == 1
    store.close()
    (line,) = caplog.records
    assert "schema 1, from before there were networks" in line.getMessage()


def test_a_container_whose_volume_was_removed_meanwhile_is_a_conflict_and_adds_nothing(store):
    mount = MountView(MountKind.VOLUME, "/data", name="gone")
    with pytest.raises(Conflict, match="volume gone was removed in the meantime"):
        store.add_container(container(mounts=[mount]), pod(), [])
    assert store.containers() == [] and store.pod_table.all() == []
