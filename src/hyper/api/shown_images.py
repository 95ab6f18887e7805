"""Owns what a container's image is called in a list (moby daemon/list.go): as its user called it,
or by its id when that name is another image's by now, or nobody's."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyper.core.errors import InvalidArgument, NotFound
from hyper.engine.views import ContainerView

if TYPE_CHECKING:
    from hyper.engine.engine import Engine


def image_names(engine: "Engine") -> Callable[[ContainerView], str]:
    """Return a function that says how a container's image is called; for one list."""
    known: dict[str, str] = {}

    def find(name: str) -> str:
        try:
            return engine.images.get(name).id
        except (NotFound, InvalidArgument):
            return ""

    def image_of(view: ContainerView) -> str:
        name = view.spec.image
        if name not in known:
            known[name] = find(name)
        return name if known[name] == view.spec.image_id else view.spec.image_id

    return image_of
