"""The error tree of Hyper. Does not map errors to HTTP: `api/errors.py` has the one table.

    HyperError
    ├── InvalidArgument      the request cannot be right, whatever the state      400
    ├── Unauthorized         a registry refuses our credentials                    401
    ├── Forbidden            the caller may not                                    403
    ├── NotFound             no such object                                        404
    ├── NotModified          it is already so                                      304
    ├── Conflict             not in this state, or the name is taken               409
    ├── Unsupported          a VM cannot, or this host cannot                      501
    ├── Unavailable          something outside is missing or busy                  503
    └── Failure              it was tried and did not work                         500
        ├── GuestError       the guest answered with errno, step, object
        ├── HypervisorError  the VMM failed; carries the tail of its console
        ├── Malformed        an archive is not what it claims to be                400
        ├── ProcessError     a helper program failed; carries its stderr
        └── Timeout          it did not finish in time

A message says what failed, on what, why, and what to do, in Docker's words where clients match on
them.
"""

import os


class HyperError(Exception):
    """Root of all errors raised on purpose; `str()` is the one line a user sees."""


class InvalidArgument(HyperError):
    """The request cannot be right, whatever the state."""


class Unauthorized(HyperError):
    """Credentials are missing or refused."""


class Forbidden(HyperError):
    """The caller may not do this."""


# Docker's words. Without `typing` above: the command line imports this, and typing costs 15 ms.
_NOT_FOUND = {
    "container": "No such container: {}",
    "container to kill": "Cannot kill container: {}: No such container: {}",
    "image": "No such image: {}",
    "exec": "No such exec instance: {}",
    "image for it": "image with reference {} was found but does not match the specified platform",
    "volume": "get {}: no such volume",
    "volume plugin": 'create {detail}: error looking up volume plugin {}: plugin "{}" not found',
    "network": "network {} not found",
    "network to start on": "failed to set up container networking: network {} not found",
    "pod": "No such pod: {}",
    "kernel": "No such kernel: {}",
    "manifest": "manifest for {} not found",
    "repository": "pull access denied for {}, repository does not exist or may require "
    "'docker login'",
    "device": 'error gathering device information while adding custom device "{}"',
    "plugin": 'plugin "{}" not found',
    "repository to list": "repository {} not found",
    "repository to push": "An image does not exist locally with the tag: {}",
    "tag to push": "tag does not exist: {}",
    "platform": "no matching manifest for {} in the manifest list entries",
}


class NotFound(HyperError):
    """No object of `kind` is called `name`; the text is Docker's (docker-py matches "no such
    image"). Of a file, `detail` is the container, of a container of a pod the pod, of a volume
    plugin the volume.
    """

    def __init__(self, kind: str, name: str, detail: str = "") -> None:
        self.kind = kind
        self.name = name
        if kind == "file":
            super().__init__(f"Could not find the file {name} in container {detail}")
            return
        if kind == "container of a pod":
            super().__init__(f"pod {detail} has no container named {name}")
            return
        text = _NOT_FOUND.get(kind, f"no such {kind}: {{}}").replace("{}", name)
        if "{detail}" in text:
            text, detail = text.replace("{detail}", detail), ""
        super().__init__(f"{text}: {detail}" if detail else text)


class NotModified(HyperError):
    """The object is already in the state asked for."""


class Conflict(HyperError):
    """The object is in a state that does not allow this, or a name is taken."""


class Unsupported(HyperError):
    """This cannot be done: by a VM, by this driver, or on this host. The text says which and
    why.
    """


class Unavailable(HyperError):
    """Something outside Hyper is missing, unreachable or busy; trying later may help."""


class Failure(HyperError):
    """Something was tried and did not work."""


class Malformed(Failure):
    """An archive that was sent or fetched is not what it claims to be."""


class GuestError(Failure):
    """The guest's answer: `errno`, the failing `step` and its `object`."""

    def __init__(self, errno: int, step: str, subject: str) -> None:
        self.errno = errno
        self.step = step
        self.subject = subject
        super().__init__(f"{step} {subject}: {os.strerror(errno).lower()}".replace("  ", " "))


class HypervisorError(Failure):
    """The VMM failed; `console` is the tail of the guest's console, possibly empty."""

    def __init__(self, message: str, console: str = "") -> None:
        self.console = console
        tail = console.strip().splitlines()[-8:]
        super().__init__(message + (" | console: " + " / ".join(tail) if tail else ""))


class ProcessError(Failure):
    """A helper program ended badly; `stderr` is the tail of what it said."""

    def __init__(self, argv: tuple[str, ...], status: int, stderr: str) -> None:
        self.argv = argv
        self.status = status
        self.stderr = stderr
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        tail = stderr.strip().splitlines()[-3:]
        super().__init__(
            f"{os.path.basename(argv[0])} {how}" + (": " + "; ".join(tail) if tail else "")
        )


class Timeout(Failure):
    """`what` did not finish within `limit_s` seconds."""

    def __init__(self, what: str, limit_s: float) -> None:
        self.limit_s = limit_s
        super().__init__(f"{what}: not done after {limit_s:g} s")
