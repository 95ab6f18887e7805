"""Owns docs/kube.md: what becomes of every field of a manifest, from the tables it is read by.

`python -m hyper.schema.kube.report` prints the page; a test compares it with the file.
"""

from collections.abc import Iterator
from typing import Any

from hyper.schema.kube.documents import KINDS, NOTED_KINDS, REFUSED_KINDS
from hyper.schema.kube.fields import Table
from hyper.schema.kube.pod import TEMPLATE, UNCHECKED_TEMPLATE

_INTRODUCTION = """\
# Kubernetes manifests in Hyper

Made by `python -m hyper.schema.kube.report`; do not edit.

`hyper play kube FILE` makes pods from Kubernetes manifests, `hyper play kube --down FILE` removes
them again, `hyper generate kube POD` writes a manifest that plays back to an equal pod (what has no
place in a manifest is said in a comment). A file may hold several documents and Lists; what its
pods refer to (ConfigMaps, Secrets) must be in the same play or be given with `--configmap`. There
is no cluster, no API server and no controller: a play is translated once.

Every field of the kinds below is listed. One that **acts** means what it means to Kubernetes; one
that **differs** says how; one with **no effect** is accepted, and the play says so in a warning;
a **refused** one is an error with its path in the document, unless its value is the one that asks
for nothing. A field Kubernetes does not have is an error too.
"""
_LIMITS = """\
## What a play means

- A pod is a virtual machine. Its containers share network, IPC, host name and volumes, and the
  memory and CPUs of that machine: with limits for all containers it gets their sum and the
  kernel's own share, otherwise the daemon's default.
- Played pods are on the network `kube`. A Service has an address there that does not change; what
  connects to it is led in turn to the ready pods with its labels, of this play and of others, and
  its names (NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc...) lead to it in every pod and container of
  that network. One whose clusterIP is None has no address: its names have those of the ready pods.
  Where the host has no network of that kind (`hyper doctor`), Services are refused and pods are on
  the default one.
- Pods of a workload are named NAME-0, NAME-1, ...; a container is named POD-CONTAINER everywhere
  outside its pod (`hyper logs web-0-nginx`).
- A pod whose containers fail to start is stopped again and the play fails with the reason;
  it stays, so that its logs can be read, until it is replaced or removed.
- A pod with restartPolicy Always lives until it is stopped; otherwise it ends with its containers.
- env, envFrom and the files of volumes are resolved once, when the pod is made.
- `hyper generate kube` writes variables as they are and files of Secrets as ConfigMaps: a manifest
  holds them in clear.
- A PersistentVolumeClaim is the named volume of the same name (`hyper volume ls`). `--down` keeps
  it; `--down --force` removes it.
"""


def page() -> str:
    """Return the page."""
    lines = [
        _INTRODUCTION,
        _LIMITS,
        "## Kinds",
        "",
        "| kind | apiVersion | |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {kind} | {version} | played |" for kind, (version, _) in KINDS.items()]
    lines.append("| List | v1 | each of its items |")
    lines += [f"| {kind} | | no effect: {why} |" for kind, why in NOTED_KINDS.items()]
    lines += [f"| {kind} | | refused: {why} |" for kind, why in REFUSED_KINDS.items()]
    for table in _tables():
        lines += ["", f"## {table.title}", "", *_rows(table)]
    return "\n".join(lines) + "\n"


def _rows(table: Table[Any]) -> Iterator[str]:
    yield "| field | | note |"
    yield "| --- | --- | --- |"
    for field in table.fields:
        note = field.note
        if field.neutral and field.codec is None:
            shown = ", ".join(f"`{_word(value)}`" for value in field.neutral)
            note = f"{note}; {shown} is accepted"
        yield f"| {field.name} | {field.decision} | {note} |".replace("  |", " |")


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tables() -> list[Table[Any]]:
    """Return every table that a kind leads to, each once, in reading order."""
    found: list[Table[Any]] = []

    def visit(table: Table[Any]) -> None:
        if table is UNCHECKED_TEMPLATE:
            table = TEMPLATE
        if any(table.title == other.title and table.fields == other.fields for other in found):
            return
        found.append(table)
        for field in table.fields:
            if field.codec and field.codec.table:
                visit(field.codec.table)

    for _, table in KINDS.values():
        visit(table)
    return found


if __name__ == "__main__":
    print(page(), end="")
