"""Docker's seccomp profiles as BPF programs for the guest.

The default profile is Docker's (Apache-2.0; moby profiles/seccomp/default.json, rules for other
machines left out), as of version 28 and with the later block of AF_ALG sockets. A system call newer
than the newest one a profile names gets ENOSYS, as with runc, so that programs fall back. So do the
calls of x32, which no guest kernel of ours has.
"""

import json
from functools import cache, lru_cache
from importlib import resources

from hyper.agent.seccomp.bpf import assemble
from hyper.agent.seccomp.profile import Profile, load_profile, resolve_rules
from hyper.core.errors import InvalidArgument

__all__ = ["compile_profile", "default_program"]

GUEST_KERNEL = "6.1"


@lru_cache(maxsize=64)
def default_program(
    capabilities: int, *, architecture: str = "x86_64", kernel: str = GUEST_KERNEL
) -> bytes:
    """Return the default profile's program for a process with these capabilities (bits).

    The first call for a set of capabilities compiles; call it early for the usual one.
    """
    return compile_profile(
        _default_profile(), capabilities, architecture=architecture, kernel=kernel
    )


def compile_profile(
    profile: Profile | str,
    capabilities: int,
    *,
    architecture: str = "x86_64",
    kernel: str = GUEST_KERNEL,
) -> bytes:
    """Return a profile (parsed, or Docker's JSON) as struct sock_filter[]; empty: no filter.

    `capabilities` are the bits of the bounding set, `kernel` the guest's release, which conditions
    of the profile may name. Raises InvalidArgument, and Unsupported for SCMP_ACT_NOTIFY.
    """
    parsed = load_profile(_decode(profile)) if isinstance(profile, str) else profile
    if parsed.empty:
        return b""
    return assemble(resolve_rules(parsed, capabilities, architecture, kernel))


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"Decoding seccomp profile failed: {err}") from err


@cache
def _default_profile() -> Profile:
    text = resources.files(__package__).joinpath("default_profile.json").read_text()
    return load_profile(_decode(text))
