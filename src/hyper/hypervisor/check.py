"""One line of `hyper doctor`. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A condition of this host: `advice` says what to do when it is not `ok`, or only a `warning`:
    Hyper works, but less well.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""
    warning: bool = False
