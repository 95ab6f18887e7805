"""Parts of the daemon's JSON answers by path, each of a type callers can rely on. Judges
nothing."""


def dig(value: object, *path: str) -> object:
    """Return what is at `path` in nested objects, None when it is not there."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text(value: object, *path: str) -> str:
    """Return the string at `path`, "" when there is none."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> int:
    """Return the integer at `path`, 0 when there is none."""
    found = dig(value, *path)
    return int(found) if isinstance(found, int | float) else 0


def mapping(value: object, *path: str) -> dict[str, object]:
    """Return the object at `path`, empty when there is none."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects(value: object, *path: str) -> list[dict[str, object]]:
    """Return the objects of the list at `path`, empty when there is none."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(value: object, *path: str) -> list[str]:
    """Return the strings of the list at `path`, empty when there is none."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
