"""Docker's seccomp profile format: JSON -> rules per architecture, for one guest and process.

Format: moby profiles/seccomp/seccomp.go; meaning of rules: OCI runtime-spec, "Seccomp", and what
runc and libseccomp make of it. Does not know BPF (`bpf`).
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hyper.agent import capabilities as caps
from hyper.agent.seccomp.tables import syscall_numbers
from hyper.core.errors import InvalidArgument, Unsupported

# linux/audit.h
AUDIT_ARCH = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7}
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_AARCH64": "aarch64",
}
_NATIVE_NAMES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}

# linux/seccomp.h
KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_TRACE = 0x7FF00000
_ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
_WITH_NUMBER = {"SCMP_ACT_ERRNO": _ERRNO, "SCMP_ACT_TRACE": _TRACE}
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_RELEASE = re.compile(r"(\d+)\.(\d+)")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a system call's argument; MASKED_EQ: argument & value == value_two."""

    index: int
    operator: str
    value: int
    value_two: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule needs of capabilities, architecture and kernel; empty fields need nothing."""

    capabilities: tuple[str, ...]
    arches: tuple[str, ...]
    minimum_kernel: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `syscalls`."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...]
    includes: Conditions
    excludes: Conditions


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as written, checked."""

    default_action: int
    architectures: tuple[tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a system call: the first alternative whose conditions all hold, or else."""

    action: int
    alternatives: tuple[tuple[tuple[Condition, ...], int], ...] = ()


@dataclass(frozen=True, slots=True)
class ArchitectureRules:
    """The decisions of one architecture; numbers not in it get `default`, above `last` `beyond`."""

    audit_arch: int
    decisions: Mapping[int, Decision]
    default: Decision
    last: int
    beyond: Decision


def load_profile(document: object) -> Profile:
    """Return a decoded JSON profile as data; raises InvalidArgument, Unsupported."""
    try:
        return _load(_typed(document, dict))
    except (KeyError, TypeError, ValueError) as err:
        detail = f"{err.args[0]} is missing" if isinstance(err, KeyError) else str(err)
        raise InvalidArgument(f"Decoding seccomp profile failed: {detail}") from err


def resolve_rules(
    profile: Profile, capabilities: int, architecture: str, kernel: str
) -> tuple[ArchitectureRules, ...]:
    """Return what the profile means for a process, the machine's own architecture first."""
    scmp, native = _NATIVE_NAMES[architecture]
    held = set(caps.names(capabilities))
    rules = [
        rule
        for rule in profile.rules
        if _holds(rule.includes, held, native, kernel)
        and not _excluded(rule.excludes, held, native, kernel)
    ]
    listed = next((group for group in profile.architectures if group[0] == scmp), (scmp,))
    known = [_ARCHITECTURES[name] for name in listed if name in _ARCHITECTURES]
    return tuple(_for_architecture(name, rules, profile.default_action) for name in known)


def _for_architecture(name: str, rules: Sequence[Rule], default: int) -> ArchitectureRules:
    numbers = syscall_numbers(name)
    fixed: dict[int, int] = {}
    conditional: dict[int, list[tuple[tuple[Condition, ...], int]]] = {}
    last = -1
    for rule in rules:
        known = [numbers[call] for call in rule.names if call in numbers]
        last = max(last, *known) if known else last
        for number in known:
            if rule.conditions:
                for group in _alternatives(rule.conditions):
                    conditional.setdefault(number, []).append((group, rule.action))
            elif number not in fixed:
                fixed[number] = rule.action
    decisions = {
        number: Decision(default, tuple(alternatives))
        for number, alternatives in conditional.items()
    }
    # libseccomp: a rule without conditions covers those with.
    decisions |= {number: Decision(action) for number, action in fixed.items()}
    beyond = default if default == ALLOW else _ERRNO | errno.ENOSYS
    return ArchitectureRules(AUDIT_ARCH[name], decisions, Decision(default), last, Decision(beyond))


def _alternatives(conditions: tuple[Condition, ...]) -> tuple[tuple[Condition, ...], ...]:
    """All must hold; but where two look at the same argument, runc lets any of them suffice."""
    indexes = [condition.index for condition in conditions]
    if len(set(indexes)) == len(indexes):
        return (conditions,)
    return tuple((condition,) for condition in conditions)


def _holds(needs: Conditions, held: set[str], native: str, kernel: str) -> bool:
    return (
        (not needs.arches or native in needs.arches)
        and held.issuperset(needs.capabilities)
        and (not needs.minimum_kernel or _at_least(kernel, needs.minimum_kernel))
    )


def _excluded(by: Conditions, held: set[str], native: str, kernel: str) -> bool:
    return (
        native in by.arches
        or not held.isdisjoint(by.capabilities)
        or (bool(by.minimum_kernel) and _at_least(kernel, by.minimum_kernel))
    )


def _at_least(kernel: str, minimum: str) -> bool:
    return _release(kernel) >= _release(minimum)


def _release(text: str) -> tuple[int, int]:
    match = _RELEASE.match(text)
    if match is None:
        raise ValueError(f"invalid kernel version: {text!r}")
    return int(match[1]), int(match[2])


def _load(document: Mapping[str, Any]) -> Profile:
    syscalls = _items(document, "syscalls", dict)
    if not document.get("defaultAction") and not syscalls:
        return Profile(ALLOW, (), (), empty=True)
    if document.get("architectures") and document.get("archMap"):
        raise ValueError("use either 'architectures' or 'archMap'")
    groups = [
        (_typed(entry["architecture"], str), *_items(entry, "subArchitectures", str))
        for entry in _items(document, "archMap", dict)
    ]
    for name in _items(document, "architectures", str):
        if name in ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"):
            groups.append((name, *_items(document, "architectures", str)))
    default = _action(document["defaultAction"], document.get("defaultErrnoRet"))
    return Profile(
        default,
        tuple((group[0], *(sub for sub in group[1:] if sub != group[0])) for group in groups),
        tuple(_rule(entry) for entry in syscalls),
    )


def _rule(entry: Mapping[str, Any]) -> Rule:
    listed = _items(entry, "names", str)
    if entry.get("name"):
        if listed:
            raise ValueError("use either 'name' or 'names'")
        listed = (_typed(entry["name"], str),)
    return Rule(
        listed,
        _action(entry["action"], entry.get("errnoRet")),
        tuple(_condition(argument) for argument in _items(entry, "args", dict)),
        _conditions(entry.get("includes")),
        _conditions(entry.get("excludes")),
    )


def _condition(argument: Mapping[str, Any]) -> Condition:
    operator = _typed(argument["op"], str).removeprefix("SCMP_CMP_")
    index = _number(argument["index"], 5)
    if operator not in OPERATORS:
        raise ValueError(f"unknown operator: {argument['op']}")
    value = _number(argument.get("value") or 0, 2**64 - 1)
    return Condition(index, operator, value, _number(argument.get("valueTwo") or 0, 2**64 - 1))


def _conditions(entry: object) -> Conditions:
    needs = _typed(entry or {}, dict)
    minimum = _typed(needs.get("minKernel") or "", str)
    if minimum:
        _release(minimum)
    return Conditions(_items(needs, "caps", str), _items(needs, "arches", str), minimum)


def _action(name: object, number: object) -> int:
    if name == "SCMP_ACT_NOTIFY":
        raise Unsupported("seccomp: SCMP_ACT_NOTIFY needs a listener on the host, a VM has none")
    if name in _WITH_NUMBER:
        value = 1 if number is None else _number(number, 0xFFFF)
        return _WITH_NUMBER[str(name)] | value
    if name not in _ACTIONS:
        raise ValueError(f"unknown action: {name}")
    return _ACTIONS[str(name)]


def _items(entry: Mapping[str, Any], key: str, kind: type[T]) -> tuple[T, ...]:
    return tuple(_typed(item, kind) for item in _typed(entry.get(key) or [], list))


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    return value


def _number(value: object, maximum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise ValueError(f"{value!r:.60} is not between 0 and {maximum}")
    return value
