"""Owns the images of real applications: one Debian with the servers, made once per cache.

PostgreSQL, nginx, Redis and Python from the distribution's packages; the images share the one layer
and differ in their configuration, as a registry's official images of them do.
"""

from pathlib import Path

from tests.support.userland import Entry, ImageRecipe, debian, save

PACKAGES = ("postgresql-15", "nginx-light", "redis-server", "python3", "curl")
# The just-in-time compiler of PostgreSQL is loaded on demand only, and half of the image's size.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/lib/*/libLLVM*")

# A database cluster, made here because an emulated machine takes a minute for it. Volumes begin as
# copies of it; with small segments of its log there is little to copy.
_CLUSTER = """\
set -e
data=/var/lib/postgresql/data
chroot "$1" install -d -o postgres -g postgres -m 700 $data
chroot "$1" setpriv --reuid=postgres --regid=postgres --clear-groups \\
    /usr/lib/postgresql/15/bin/initdb --auth=trust --no-sync --wal-segsize=1 --pgdata=$data
echo "host all all all trust" >>"$1$data/pg_hba.conf"
"""
_POSTGRES = """\
#!/bin/sh
# Not as the official image, PGDATA is never empty; as there, the server runs as postgres.
set -e
export PGDATA="${PGDATA:-/var/lib/postgresql/data}" PATH="/usr/lib/postgresql/15/bin:$PATH"
if [ "$(id -u)" = 0 ]; then
    chown postgres:postgres "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=16MB "$@"
"""


def save_applications(folder: Path, path: Path) -> Path:
    """Write an archive of the images postgres:15, nginx:1.22, redis:7 and python:3.11 to `path`.

    Their common layer is kept in `folder`. Raises CalledProcessError when no package source is in
    reach.
    """
    base = applications_tar(folder)
    entry = [Entry("usr/local/bin/postgres-entrypoint", _POSTGRES.encode())]
    daemon_off = ["nginx", "-g", "daemon off;"]
    recipes = [
        ImageRecipe(
            "postgres:15",
            [base, entry],
            config={
                "Entrypoint": ["postgres-entrypoint"],
                "Cmd": [],
                "Volumes": {"/var/lib/postgresql/data": {}},
                "ExposedPorts": {"5432/tcp": {}},
                "StopSignal": "SIGINT",
            },
        ),
        ImageRecipe(
            "nginx:1.22",
            [base],
            config={
                "Cmd": daemon_off,
                "ExposedPorts": {"80/tcp": {}},
                "StopSignal": "SIGQUIT",
            },
        ),
        ImageRecipe(
            "redis:7",
            [base],
            config={
                "Cmd": ["redis-server", "--protected-mode", "no", "--dir", "/data"],
                "WorkingDir": "/data",
                "Volumes": {"/data": {}},
                "ExposedPorts": {"6379/tcp": {}},
            },
        ),
        ImageRecipe("python:3.11", [base], config={"Cmd": ["python3"]}),
    ]
    return save(recipes, path)


def applications_tar(folder: Path) -> Path:
    """Return a tar of a Debian 12 with PACKAGES and a database cluster, made once in `folder`.

    Raises CalledProcessError when no package source is in reach.
    """
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    return debian(folder, "applications", [*options, f"--customize-hook={_CLUSTER}"])
