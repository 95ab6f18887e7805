"""Owns where in a document a value stands, and how Kubernetes words what is wrong with it.

Words: kubernetes staging/src/k8s.io/apimachinery/pkg/util/validation/field/errors.go.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from hyper.core.errors import InvalidArgument, Unsupported


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a document, such as spec.containers[0].image; `notes` collects what a user should
    know of fields that have no effect here.
    """

    document: str
    path: str = ""
    notes: list[str] = field(default_factory=list)

    def at(self, name: str) -> "Place":
        """Return the place of the field `name` of the object here."""
        return Place(self.document, f"{self.path}.{name}" if self.path else name, self.notes)

    def key(self, name: str) -> "Place":
        """Return the place of an entry of the map here."""
        return Place(self.document, f"{self.path}[{name}]", self.notes)

    def item(self, index: int) -> "Place":
        """Return the place of an element of the list here."""
        return Place(self.document, f"{self.path}[{index}]", self.notes)

    def _error(self, text: str) -> InvalidArgument:
        where = f"{self.path}: " if self.path else ""
        return InvalidArgument(f"{self.document} is invalid: {where}{text}")

    def invalid(self, value: object, why: str) -> InvalidArgument:
        """Return the error for a value that cannot be."""
        return self._error(f"Invalid value: {_shown(value)}: {why}")

    def required(self, why: str = "") -> InvalidArgument:
        """Return the error for a field that must be there."""
        return self._error("Required value" + (f": {why}" if why else ""))

    def duplicate(self, value: object) -> InvalidArgument:
        """Return the error for a value that must be unique and is not."""
        return self._error(f"Duplicate value: {_shown(value)}")

    def not_found(self, value: object) -> InvalidArgument:
        """Return the error for a name that nothing in the document has."""
        return self._error(f"Not found: {_shown(value)}")

    def forbidden(self, why: str) -> InvalidArgument:
        """Return the error for a field that may not be set here."""
        return self._error(f"Forbidden: {why}")

    def not_one_of(self, value: object, supported: Sequence[str]) -> InvalidArgument:
        """Return the error for a word that is none of those Kubernetes knows."""
        words = ", ".join(json.dumps(word) for word in supported)
        return self._error(f"Unsupported value: {_shown(value)}: supported values: {words}")

    def unknown(self) -> InvalidArgument:
        """Return the error for a field Kubernetes does not have."""
        return InvalidArgument(
            f'{self.document} is invalid: strict decoding error: unknown field "{self.path}"'
        )

    def refused(self, why: str) -> Unsupported:
        """Return the error for what Kubernetes has and Hyper does not do."""
        return Unsupported(f"{self.document}: {self.path}: not supported: {why}")

    def note(self, why: str) -> None:
        """Tell the user that the field here has no effect, and why."""
        self.notes.append(f"{self.document}: {self.path}: has no effect: {why}")


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:197] + "..."
