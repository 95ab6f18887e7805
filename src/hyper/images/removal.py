"""Taking names and images away, with Docker's rules and words (moby
daemon/images/image_delete.go)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyper.core.errors import Conflict
from hyper.core.ids import short
from hyper.images import reference
from hyper.images.catalog import Image, State
from hyper.images.shelf import Shelf


@dataclass(frozen=True, slots=True)
class ImageUse:
    """A container made from an image."""

    container_id: str
    running: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that was done: a name untagged or an image deleted (its id)."""

    untagged: str = ""
    deleted: str = ""

    def as_json(self) -> dict[str, str]:
        """Return Docker's ImageDeleteResponseItem."""
        return {"Untagged": self.untagged} if self.untagged else {"Deleted": self.deleted}


Uses = Mapping[str, Sequence[ImageUse]]  # by image id


async def remove(
    shelf: Shelf, name: str, *, force: bool, prune: bool, used_by: Uses
) -> list[Removal]:
    """Remove a name and, with its last name, the image; with `prune` its nameless parents too.

    Raises NotFound, Conflict.
    """
    state = shelf.catalog.state
    image_id, found_by = shelf.find(name)
    names = [*state.names_of(image_id), *state.digests_of(image_id)]
    tagged = state.names_of(image_id)
    uses = used_by.get(image_id, ())
    if found_by:
        same = [n for n in names if _repository(n) == _repository(found_by)]
        rest = [n for n in tagged if n != found_by]
        if rest:  # only a name goes; digests go with the last tag of their repository
            only = not any(_repository(n) == _repository(found_by) for n in rest)
            return await _untag(shelf, same if only else [found_by])
        if uses and not force:
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - '
                f"container {short(uses[0].container_id)} is using its referenced image "
                f"{short(image_id)}"
            )
        if _is_held(state, image_id, uses):
            return await _untag(shelf, names)
    elif len(tagged) > 1 and not force:
        raise _refusal(image_id, "must be forced", "image is referenced in multiple repositories")
    _check(state, image_id, uses, force=force)
    parent = state.images[image_id].parent
    removals = await _delete(shelf, image_id, hide=bool(uses))
    if prune:
        removals += await _delete_leftovers(shelf, parent, used_by)
    await shelf.collect(list(used_by))
    return removals


async def prune(
    shelf: Shelf, candidates: Sequence[Image], *, dangling: bool, used_by: Uses
) -> tuple[list[Removal], int]:
    """Remove those of the candidates that nothing uses; with `dangling` only those without a tag.

    Returns what was done, and the size of the layers that nobody needs any more.
    """
    removals: list[Removal] = []
    before = _content_bytes(shelf)
    parents = {record.parent for record in shelf.catalog.state.images.values()}
    for image in candidates:
        if used_by.get(image.id) or (dangling and (image.references or image.id in parents)):
            continue
        if image.id in shelf.catalog.state.images:  # else it went with one made from it
            removals += await _delete(shelf, image.id, hide=False)
            removals += await _delete_leftovers(shelf, image.parent, used_by)
    await shelf.collect(list(used_by))
    return removals, before - _content_bytes(shelf)


def _content_bytes(shelf: Shelf) -> int:
    images = shelf.catalog.state.images.values()
    return shelf.layers.content_bytes({d for image in images for d in image.diff_ids})


def _check(state: State, image_id: str, uses: Sequence[ImageUse], *, force: bool) -> None:
    running = next((use for use in uses if use.running), None)
    if running is not None:
        why = f"image is being used by running container {short(running.container_id)}"
        raise _refusal(image_id, "cannot be forced", why)
    if _has_children(state, image_id):
        raise _refusal(image_id, "cannot be forced", "image has dependent child images")
    if uses and not force:
        why = f"image is being used by stopped container {short(uses[0].container_id)}"
        raise _refusal(image_id, "must be forced", why)


def _is_held(state: State, image_id: str, uses: Sequence[ImageUse]) -> bool:
    """Tell whether an image stays even when it has lost its last name by force."""
    return any(use.running for use in uses) or _has_children(state, image_id)


def _has_children(state: State, image_id: str) -> bool:
    return any(r.parent == image_id and not r.hidden for r in state.images.values())


def _refusal(image_id: str, force: str, why: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {short(image_id)} ({force}) - {why}")


def _is_leftover(state: State, image_id: str, used_by: Uses) -> bool:
    """Tell whether an image is only here because of the child that was removed."""
    return (
        image_id in state.images
        and not state.names_of(image_id)
        and not used_by.get(image_id)
        and not any(record.parent == image_id for record in state.images.values())
    )


async def _delete_leftovers(shelf: Shelf, image_id: str, used_by: Uses) -> list[Removal]:
    """Delete an image, its parent and so on, as far as they were here for a child only."""
    removals: list[Removal] = []
    while _is_leftover(shelf.catalog.state, image_id, used_by):
        parent = shelf.catalog.state.images[image_id].parent
        removals += await _delete(shelf, image_id, hide=False)
        image_id = parent
    return removals


async def _untag(shelf: Shelf, names: Sequence[str]) -> list[Removal]:
    for name in names:
        await shelf.catalog.update(functools.partial(State.without_name, name=name))
    return [Removal(untagged=reference.familiar(name)) for name in names]


async def _delete(shelf: Shelf, image_id: str, *, hide: bool) -> list[Removal]:
    state = shelf.catalog.state
    names = [*state.names_of(image_id), *state.digests_of(image_id)]
    await shelf.catalog.update(functools.partial(State.without_image, image_id=image_id, hide=hide))
    return [
        *(Removal(untagged=reference.familiar(name)) for name in names),
        *([] if hide else [Removal(deleted=image_id)]),
    ]


def _repository(full_name: str) -> str:
    """Return a full name without its tag or digest."""
    return reference.parse(full_name).name
