"""Owns all state that survives, in one SQLite file; the only module with SQL in it.

Immutable configuration and mutable state are separate tables (podman's split); each transition is
one transaction, with the event it causes. Blocking: callers run it through the store's own thread
(`Store.call`). WAL with synchronous=FULL: what was reported as done survives a power cut. What a
full disk refuses is tried again with space held in reserve (reserve.py).
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from hyper.core.errors import Conflict, Failure, NotFound
from hyper.core.pod_spec import NetworkService, PodSpec
from hyper.core.serialize import dump
from hyper.core.serialize import load as load_plain
from hyper.core.spec import ContainerSpec, MountKind
from hyper.engine.events import Event
from hyper.engine.reserve import Reserve
from hyper.engine.states import ContainerState, PodState
from hyper.engine.views import Command, MountView, NetworkInfo, Status, VolumeView

T = TypeVar("T")

EVENTS_KEPT = 4096

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE pod (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL, spec TEXT NOT
        NULL
    );
    CREATE TABLE pod_state (
        pod_id TEXT PRIMARY KEY REFERENCES pod(id) ON DELETE CASCADE,
        state TEXT NOT NULL, vm TEXT NOT NULL DEFAULT '', resources TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE container (
        id TEXT PRIMARY KEY, pod_id TEXT NOT NULL REFERENCES pod(id), created_ns INTEGER NOT NULL,
        spec TEXT NOT NULL, command TEXT NOT NULL
    );
    CREATE TABLE container_name (
        name TEXT PRIMARY KEY, container_id TEXT NOT NULL UNIQUE REFERENCES container(id) ON DELETE
        CASCADE
    );
    CREATE TABLE container_mount (
        container_id TEXT NOT NULL REFERENCES container(id) ON DELETE CASCADE,
        position INTEGER NOT NULL, volume TEXT REFERENCES volume(name), mount TEXT NOT NULL,
        PRIMARY KEY (container_id, position)
    );
    CREATE TABLE container_state (
        container_id TEXT PRIMARY KEY REFERENCES container(id) ON DELETE CASCADE,
        state TEXT NOT NULL, status TEXT NOT NULL
    );
    CREATE TABLE volume (name TEXT PRIMARY KEY, volume TEXT NOT NULL);
    CREATE TABLE event (sequence INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, event
    TEXT NOT NULL); CREATE INDEX event_time ON event(time_ns);
    CREATE INDEX container_mount_volume ON container_mount(volume);
    """,
    """
    CREATE TABLE network (id TEXT PRIMARY KEY, network TEXT NOT NULL);
    """,
    """
    CREATE TABLE service (name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, service TEXT NOT NULL);
    """,
)
_BEFORE_NETWORKS = 1

_log = logging.getLogger("engine.store")


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod as stored; `vm` is the driver's record of a running VM, `resources` the engine's."""

    id: str
    created_ns: int
    spec: PodSpec
    state: PodState
    vm: str
    resources: str


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container as stored."""

    id: str
    name: str
    pod_id: str
    created_ns: int
    spec: ContainerSpec
    command: Command
    mounts: tuple[MountView, ...]
    status: Status


class _NoSpace(Failure):
    """The disk is full, as far as SQLite tells: its shared memory and fsync say "I/O error"."""


def _failure(what: str, err: sqlite3.Error) -> Failure:
    # Errors of the module itself have no code.
    primary = getattr(err, "sqlite_errorcode", 0) & 0xFF
    full = primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return (_NoSpace if full else Failure)(f"cannot {what}: {err}")


def _load(kind: type[T], text: str) -> T:
    """Return what a row holds. Raises Failure: another release wrote it, or it is damaged."""
    try:
        return load_plain(kind, text)
    except ValueError as err:
        raise Failure(
            f"the state database holds a {kind.__name__} this release cannot read: {err}; start "
            "the release that wrote it, or use another --root"
        ) from err


class _Database:
    """The file: its schema and its transactions."""

    def __init__(self, path: Path) -> None:
        what = f"open the state database {path}"
        try:
            self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as err:
            raise _failure(what, err) from err
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self.connection.execute(f"PRAGMA {pragma}")
            self._migrate()
        except sqlite3.Error as err:
            self.connection.close()
            raise _failure(what, err) from err

    def _migrate(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise Failure(
                f"the state database has schema {version}, this release knows {len(_MIGRATIONS)}: "
                "start a newer hyperd or use another --root"
            )
        if version == _BEFORE_NETWORKS:
            _log.warning(
                "the state database has schema %d, from before there were networks: containers "
                "made then are on none; make them again, or use docker network connect",
                version,
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self.connection.executescript(
                f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk may have ended it already
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as err:
            raise _failure("write the state database", err) from err


class VolumeTable:
    """The named volumes; see Store.call."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def put(self, volume: VolumeView, events: Sequence[Event]) -> None:
        """Add or replace a volume."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO volume VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET volume = "
                "excluded.volume",
                (volume.name, dump(replace(volume, reference_count=0))),
            )
            _put_events(db, events)

    def all(self) -> list[VolumeView]:
        """Return every volume with the number of containers that name it."""
        rows = self._database.connection.execute(
            "SELECT volume, (SELECT count(DISTINCT container_id) FROM container_mount"
            " WHERE container_mount.volume = volume.name) FROM volume ORDER BY name"
        )
        return [replace(_load(VolumeView, row[0]), reference_count=row[1]) for row in rows]

    def users(self, name: str) -> list[str]:
        """Return the ids of the containers that name a volume."""
        rows = self._database.connection.execute(
            "SELECT DISTINCT container_id FROM container_mount WHERE volume = ?", (name,)
        )
        return [row[0] for row in rows]

    def remove(self, name: str, events: Sequence[Event]) -> None:
        """Forget a volume. Raises Conflict when a container names it."""
        try:
            with self._database.transaction() as db:
                db.execute("DELETE FROM volume WHERE name = ?", (name,))
                _put_events(db, events)
        except sqlite3.IntegrityError as err:
            users = ", ".join(self.users(name))
            raise Conflict(f"remove {name}: volume is in use - [{users}]") from err


class NetworkTable:
    """The networks; see Store.call."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def put(self, network: NetworkInfo, events: Sequence[Event]) -> None:
        """Add or replace a network."""
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO network VALUES (?, ?)", (network.id, dump(network)))
            _put_events(db, events)

    def all(self) -> list[NetworkInfo]:
        """Return every stored network."""
        rows = self._database.connection.execute("SELECT network FROM network ORDER BY rowid")
        return [_load(NetworkInfo, row[0]) for row in rows]

    def remove(self, network_id: str, events: Sequence[Event]) -> None:
        """Forget a network."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM network WHERE id = ?", (network_id,))
            _put_events(db, events)


class ServiceTable:
    """The services of networks; see Store.call."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def put(self, service_id: str, service: NetworkService, events: Sequence[Event]) -> None:
        """Add or replace a service."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO service VALUES (?, ?, ?)",
                (service.name, service_id, dump(service)),
            )
            _put_events(db, events)

    def all(self) -> list[tuple[str, NetworkService]]:
        """Return every service with its id."""
        rows = self._database.connection.execute("SELECT id, service FROM service ORDER BY rowid")
        return [(row[0], _load(NetworkService, row[1])) for row in rows]

    def remove(self, name: str, events: Sequence[Event]) -> None:
        """Forget a service."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM service WHERE name = ?", (name,))
            _put_events(db, events)


class PodTable:
    """The pods; see Store.call."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def all(self) -> list[PodRow]:
        """Return every pod."""
        rows = self._database.connection.execute(
            "SELECT id, created_ns, spec, state, vm, resources FROM pod"
            " JOIN pod_state ON pod_id = id ORDER BY created_ns"
        )
        return [
            PodRow(row[0], row[1], _load(PodSpec, row[2]), PodState(row[3]), row[4], row[5])
            for row in rows
        ]

    def add(self, pod: PodRow, containers: Sequence[ContainerRow], events: Sequence[Event]) -> None:
        """Add a pod with its containers, all or nothing. Raises Conflict when a name is taken."""
        with self._database.transaction() as db:
            _insert_pod(db, pod)
            for container in containers:
                _insert_container(db, container)
            _put_events(db, events)

    def put_spec(self, pod_id: str, spec: PodSpec, events: Sequence[Event]) -> None:
        """Store what of a pod's spec was changed after its creation."""
        with self._database.transaction() as db:
            db.execute("UPDATE pod SET spec = ? WHERE id = ?", (dump(spec), pod_id))
            _put_events(db, events)

    def put_state(self, pod_id: str, state: PodState, vm: str, resources: str) -> None:
        """Store a pod's state with the driver's record of its VM."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE pod_state SET state = ?, vm = ?, resources = ? WHERE pod_id = ?",
                (state, vm, resources, pod_id),
            )

    def remove(self, pod_id: str, events: Sequence[Event]) -> None:
        """Forget a pod with its containers."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM container WHERE pod_id = ?", (pod_id,))
            db.execute("DELETE FROM pod WHERE id = ?", (pod_id,))
            _put_events(db, events)


class Store:
    """The database. Every method blocks; `call` runs one in the store's thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the database at `path` and bring it to this release's schema.

        Raises Failure when it is unreadable or written by a newer release.
        """
        self.reserve = Reserve(path.with_name("reserve"))
        self._database = self._with_reserve(partial(_Database, path))
        self.reserve.take()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.volume_table = VolumeTable(self._database)
        self.pod_table = PodTable(self._database)
        self.networks = NetworkTable(self._database)
        self.services = ServiceTable(self._database)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Run one of this store's methods in its thread and return its result.

        A change that was begun is finished even if the caller is cancelled.
        """
        work = partial(self._with_reserve, function, *args)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have one of this store's methods run in its thread, after what was asked for before.

        It is run whoever ends, the daemon included; what it raises is logged.
        """
        self._thread.submit(self._with_reserve, function, *args).add_done_callback(_report)

    def _with_reserve(self, function: Callable[..., T], *args: object) -> T:
        while True:
            try:
                return function(*args)
            except _NoSpace:
                if not self.reserve.give():
                    raise

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._thread.shutdown(wait=True)
        self._database.connection.close()

    # --- pods and containers ------------------------------------------------------------------

    def add_container(
        self, container: ContainerRow, new_pod: PodRow | None, events: Sequence[Event]
    ) -> None:
        """Add a container and, for a lone one, its pod.

        Raises Conflict when the name is taken, NotFound when the pod is gone.
        """
        with self._database.transaction() as db:
            if new_pod:
                _insert_pod(db, new_pod)
            _insert_container(db, container)
            _put_events(db, events)

    def put_status(self, container_id: str, status: Status, events: Sequence[Event] = ()) -> None:
        """Store a container's new status together with the events it causes."""
        with self._database.transaction() as db:
            _put_status(db, container_id, status)
            _put_events(db, events)

    def put_spec(self, container_id: str, spec: ContainerSpec, events: Sequence[Event]) -> None:
        """Store a container's spec after an update of its limits."""
        with self._database.transaction() as db:
            db.execute("UPDATE container SET spec = ? WHERE id = ?", (dump(spec), container_id))
            _put_events(db, events)

    def rename(self, container_id: str, name: str, events: Sequence[Event]) -> None:
        """Give a container another name. Raises Conflict when it is taken."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM container_name WHERE container_id = ?", (container_id,))
            _insert_name(db, name, container_id)
            _put_events(db, events)

    def remove_container(
        self, container_id: str, pod_id: str | None, events: Sequence[Event]
    ) -> None:
        """Forget a container, and the pod `pod_id` with it when given."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM container WHERE id = ?", (container_id,))
            if pod_id:
                db.execute("DELETE FROM pod WHERE id = ?", (pod_id,))
            _put_events(db, events)

    def containers(self) -> list[ContainerRow]:
        """Return every container."""
        mounts: dict[str, list[MountView]] = {}
        for container_id, mount in self._database.connection.execute(
            "SELECT container_id, mount FROM container_mount ORDER BY position"
        ):
            mounts.setdefault(container_id, []).append(_load(MountView, mount))
        rows = self._database.connection.execute(
            "SELECT id, name, pod_id, created_ns, spec, command, status FROM container"
            " JOIN container_name ON container_name.container_id = id"
            " JOIN container_state ON container_state.container_id = id ORDER BY created_ns"
        )
        return [
            ContainerRow(
                row[0],
                row[1],
                row[2],
                row[3],
                _load(ContainerSpec, row[4]),
                _load(Command, row[5]),
                tuple(mounts.get(row[0], ())),
                _load(Status, row[6]),
            )
            for row in rows
        ]

    # --- events -------------------------------------------------------------------------------

    def put_events(self, events: Sequence[Event]) -> None:
        """Store events that come with no other change."""
        with self._database.transaction() as db:
            _put_events(db, events)

    def events(self, since_ns: int, until_ns: int) -> list[Event]:
        """Return the stored events of a span of time, oldest first."""
        rows = self._database.connection.execute(
            "SELECT event FROM event WHERE time_ns BETWEEN ? AND ? ORDER BY sequence",
            (since_ns, until_ns),
        )
        return [_load(Event, row[0]) for row in rows]


def _report(done: Future[object]) -> None:
    if failed := done.exception():
        _log.error("nobody waited for this change, and it failed: %s", failed)


def _insert_pod(db: sqlite3.Connection, pod: PodRow) -> None:
    try:
        db.execute(
            "INSERT INTO pod VALUES (?, ?, ?, ?)",
            (pod.id, pod.spec.name, pod.created_ns, dump(pod.spec)),
        )
    except sqlite3.IntegrityError as err:
        raise Conflict(f'Conflict. The pod name "{pod.spec.name}" is already in use') from err
    db.execute(
        "INSERT INTO pod_state VALUES (?, ?, ?, ?)", (pod.id, pod.state, pod.vm, pod.resources)
    )


def _insert_container(db: sqlite3.Connection, container: ContainerRow) -> None:
    values = (
        container.id,
        container.pod_id,
        container.created_ns,
        dump(container.spec),
        dump(container.command),
    )
    try:
        db.execute("INSERT INTO container VALUES (?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError as err:  # the pod was removed in the meantime
        raise NotFound("pod", container.pod_id) from err
    _insert_name(db, container.name, container.id)
    for position, mount in enumerate(container.mounts):
        named = mount.name if mount.kind is MountKind.VOLUME else ""
        try:
            db.execute(
                "INSERT INTO container_mount VALUES (?, ?, ?, ?)",
                (container.id, position, named or None, dump(mount)),
            )
        except sqlite3.IntegrityError as err:
            raise Conflict(f"volume {named} was removed in the meantime: try again") from err
    _put_status(db, container.id, container.status)


def _insert_name(db: sqlite3.Connection, name: str, container_id: str) -> None:
    taken = db.execute("SELECT container_id FROM container_name WHERE name = ?", (name,)).fetchone()
    if taken:
        raise Conflict(
            f'Conflict. The container name "/{name}" is already in use by container "{taken[0]}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
    db.execute("INSERT INTO container_name VALUES (?, ?)", (name, container_id))


def _put_status(db: sqlite3.Connection, container_id: str, status: Status) -> None:
    db.execute(
        "INSERT INTO container_state VALUES (?, ?, ?) ON CONFLICT(container_id)"
        " DO UPDATE SET state = excluded.state, status = excluded.status",
        (container_id, ContainerState(status.state).value, dump(status)),
    )


def _put_events(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    for event in events:
        cursor = db.execute(
            "INSERT INTO event (time_ns, event) VALUES (?, ?)", (event.time_ns, dump(event))
        )
        if cursor.lastrowid and cursor.lastrowid % 256 == 0:
            db.execute("DELETE FROM event WHERE sequence <= ?", (cursor.lastrowid - EVENTS_KEPT,))
