"""Several layers as one: what a container sees of a chain, as one stream of entries.

Reads each layer twice: once to learn which entries survive (a tree in memory, without contents),
once to give those. The same serves a single layer that holds a path twice, where the last one
counts; then its whiteouts stay.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from hyper.core.errors import Failure
from hyper.images.layerfilter import (
    OPAQUE,
    Limits,
    Whiteout,
    check_link,
    clean,
    implied_directory,
    whiteout,
)
from hyper.images.tarstream import Buffer, Entry, Kind, TarReader, show

Origin = tuple[int, int]  # layer, number of the entry in it
OpenLayer = Callable[[], AbstractContextManager[TarReader]]

_IMPLIED: Origin = (-1, -1)
_WHITEOUT: Origin = (-2, -2)
_FOLLOWED = 8  # symlinks on the way to one entry


class _Node:
    """A path of the merged tree: which entry made it, and what is in it."""

    __slots__ = ("children", "layer", "kind", "link", "opaque", "origin")  # noqa: RUF023

    def __init__(self, kind: Kind, layer: int, origin: Origin) -> None:
        self.kind = kind
        self.layer = layer  # the topmost layer that mentions it
        self.origin = origin  # hard links share the origin of their file
        self.link = b""  # of a symlink
        self.opaque = False
        self.children: dict[bytes, _Node] = {}


class Merger:
    """Merges the layers that `opened` reads, base first."""

    def __init__(self, opened: Sequence[OpenLayer], limits: Sequence[Limits]) -> None:
        self._opened = opened
        self._limits = limits
        self._root = _Node(Kind.DIRECTORY, 0, _IMPLIED)
        self.needs_merge = False
        self.entries = 0
        self.content_bytes = 0

    def run(self, *, keep_whiteouts: bool) -> Iterator[tuple[Entry, Iterable[Buffer]]]:
        """Yield entries with their content, directories last.

        Raises Failure on what `clean` refuses and on paths through what is no directory.
        """
        for layer in range(len(self._opened)):
            self._scan(layer, keep_whiteouts)
        plan: dict[Origin, list[bytes]] = {}
        loose: list[tuple[bytes, _Node]] = []
        opaque: set[bytes] = set()
        for path, node in _walk(self._root):
            if node.opaque and keep_whiteouts:
                opaque.add(path)
            if node.origin in (_IMPLIED, _WHITEOUT):
                loose.append((path, node))
            else:
                plan.setdefault(node.origin, []).append(path)
        self.needs_merge = keep_whiteouts and (
            self._root.opaque or any(node.origin == _IMPLIED for _, node in loose)
        )
        self._root = _Node(Kind.DIRECTORY, 0, _IMPLIED)
        directories: dict[bytes, Entry] = {}
        for layer in range(len(self._opened)):
            yield from self._emit(layer, plan, directories)
        for path, node in loose:
            if node.origin == _WHITEOUT:
                yield whiteout(path), ()
            else:
                directories[path] = implied_directory(path)
        for path in sorted(directories):
            entry = directories[path]
            if path in opaque:
                entry = replace(entry, xattrs=(*entry.xattrs, OPAQUE))
            yield entry, ()

    def _items(self, layer: int) -> Iterator[tuple[int, Entry | Whiteout, TarReader]]:
        with self._opened[layer]() as reader:
            for serial, item in enumerate(clean(reader, self._limits[layer])):
                yield serial, item, reader

    def _scan(self, layer: int, keep_whiteouts: bool) -> None:
        entries: list[tuple[int, bytes, Kind | None, bytes]] = []
        hidden: list[Whiteout] = []
        for serial, item, _ in self._items(layer):
            if isinstance(item, Whiteout):
                hidden.append(item)
                directory = item.path if item.opaque else item.path.rpartition(b"/")[0]
                entries.append((serial, directory, None, b""))
            else:
                entries.append((serial, item.path, item.kind, item.link))
        for item in hidden:  # before the layer's own entries, which they never hide
            self._hide(item)
        # A layer is unpacked by itself and then laid over the others, as overlay file systems do: a
        # file it replaces by a directory again hides nothing of the layers below.
        own = _Node(Kind.DIRECTORY, layer, _IMPLIED)
        for serial, path, kind, link in entries:
            if kind is None:
                _directory(own, path, layer)
            else:
                _add(own, layer, serial, path, kind, link)
        _overlay(self._root, own)
        if keep_whiteouts:
            for item in hidden:
                self._keep(item, layer)

    def _hide(self, item: Whiteout) -> None:
        if item.opaque:
            node = _find(self._root, item.path)
            if node is not None:
                node.children.clear()
            return
        parent, _, name = item.path.rpartition(b"/")
        node = _find(self._root, parent)
        if node is not None:
            node.children.pop(name, None)

    def _keep(self, item: Whiteout, layer: int) -> None:
        """Leave a whiteout in the tree for the layers below, which are not part of this merge."""
        parent, _, name = item.path.rpartition(b"/")
        if item.opaque or not name:
            _directory(self._root, item.path, layer).opaque = True
            return
        children = _directory(self._root, parent, layer).children
        node = children.get(name)
        if node is None:
            children[name] = _Node(Kind.CHAR, layer, _WHITEOUT)
        elif node.kind is Kind.DIRECTORY:
            node.opaque = True

    def _emit(
        self, layer: int, plan: dict[Origin, list[bytes]], directories: dict[bytes, Entry]
    ) -> Iterator[tuple[Entry, Iterable[Buffer]]]:
        for serial, item, reader in self._items(layer):
            paths = plan.get((layer, serial))
            if paths is None or isinstance(item, Whiteout):
                continue
            if item.kind is Kind.DIRECTORY:
                directories[paths[0]] = item
                continue
            first, *others = paths
            self.entries += 1
            self.content_bytes += item.length
            yield replace(item, path=first), reader.content()
            for path in others:
                yield Entry(path, Kind.HARDLINK, mode=item.mode, link=first), ()


def _add(root: _Node, layer: int, serial: int, path: bytes, kind: Kind, link: bytes) -> None:
    if not path:
        return
    parent, _, name = path.rpartition(b"/")
    siblings = _directory(root, parent, layer).children
    old = siblings.get(name)
    if kind is Kind.DIRECTORY and old is not None and old.kind is Kind.DIRECTORY:
        old.origin = (layer, serial)
        return
    node = _Node(kind, layer, (layer, serial))
    if kind is Kind.SYMLINK:
        node.link = link
    elif kind is Kind.HARDLINK:
        found = _find_own(root, link, layer)
        if found is old and found is not None:
            return
        check_link(Entry(path, kind, link=link), found.kind if found else None)
        assert found is not None
        node.kind, node.origin, node.link = found.kind, found.origin, found.link
    siblings[name] = node


def _directory(root: _Node, path: bytes, layer: int) -> _Node:
    """Return the directory at `path`, made where the layer only implies it.

    A symlink of the same layer is followed, as dockerd does, in this tree and so never out of it.
    """
    node = _walk_to(root, path, layer, make=True)
    assert node is not None
    return node


def _find_own(root: _Node, path: bytes, layer: int) -> _Node | None:
    """Return what is at a path, through the layer's own symlinks but for a last one."""
    parent, _, name = path.rpartition(b"/")
    directory = _walk_to(root, parent, layer, make=False) if path else root
    return directory.children.get(name) if directory and path else directory


def _walk_to(root: _Node, path: bytes, layer: int, *, make: bool) -> _Node | None:
    """Return the directory at `path`; without `make` None where there is none.

    A symlink's target is never made, as dockerd makes none.
    """
    way = [root]
    names = [name for name in reversed(path.split(b"/")) if name]
    followed, own_names = 0, len(names)
    while names:
        name = names.pop()
        of_link = len(names) >= own_names
        if name == b"..":
            del way[max(1, len(way) - 1) :]
            continue
        child = way[-1].children.get(name)
        own = child is not None and child.layer == layer and child.origin != _WHITEOUT
        if child is not None and own and child.kind is Kind.SYMLINK and followed < _FOLLOWED:
            followed += 1
            own_names = own_names if of_link else len(names)
            if child.link.startswith(b"/"):
                del way[1:]
            names += [part for part in reversed(child.link.split(b"/")) if part not in (b"", b".")]
            continue
        if child is None or child.kind is not Kind.DIRECTORY:
            if not make:
                return None
            if own or of_link:
                raise Failure(f"entry below {show(path)}: {show(name)} is not a directory")
            child = way[-1].children[name] = _Node(Kind.DIRECTORY, layer, _IMPLIED)
        way.append(child)
    return way[-1]


def _find(root: _Node, path: bytes) -> _Node | None:
    node = root
    for name in path.split(b"/") if path else ():
        child = node.children.get(name)
        if child is None:
            return None
        node = child
    return node


def _overlay(base: _Node, own: _Node) -> None:
    """Lay a layer's own tree over what is below it."""
    stack = [(base, own)]
    while stack:
        below, above = stack.pop()
        for name, child in above.children.items():
            old = below.children.get(name)
            if old is None or {old.kind, child.kind} != {Kind.DIRECTORY}:
                below.children[name] = child
                continue
            old.layer = child.layer
            if child.origin != _IMPLIED:
                old.origin = child.origin
            stack.append((old, child))


def _walk(root: _Node) -> Iterator[tuple[bytes, _Node]]:
    """Yield every path below the root; no recursion, for a hostile tree is 2,000 levels deep."""
    stack = [(name, node) for name, node in root.children.items()]
    while stack:
        path, node = stack.pop()
        yield path, node
        stack.extend((path + b"/" + name, child) for name, child in node.children.items())
