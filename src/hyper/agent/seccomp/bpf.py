"""Classic BPF for seccomp: rules -> struct sock_filter[] (linux/filter.h, linux/seccomp.h).

Per architecture one binary search over ranges of system call numbers with the same decision. Only
instructions the kernel's action cache understands come before an unconditional decision
(kernel/seccomp.c: seccomp_is_const_allow), so allowed calls do not run the filter at all; what
counts is a short program that is quickly checked and cached when a process starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from hyper.agent.seccomp.profile import (
    KILL_PROCESS,
    ArchitectureRules,
    Condition,
    Decision,
)
from hyper.core.errors import InvalidArgument

MAX_INSTRUCTIONS = 4096  # linux/bpf_common.h: BPF_MAXINSNS

# linux/bpf_common.h
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JA = 0x05
_JEQ = 0x15
_JGT = 0x25
_JGE = 0x35
_RET = 0x06

# struct seccomp_data, little-endian
_NUMBER_AT = 0
_ARCH_AT = 4
_ARGUMENTS_AT = 16

_INSTRUCTION = Struct("<HBBI")
_REACH = 255
_HIGHEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class _Return:
    action: int


# Where a jump goes: to a return, or to an instruction, counted from the end of the program.
_Target = _Return | int


def assemble(rules: Sequence[ArchitectureRules]) -> bytes:
    """Return the program; calls of other architectures kill the process, as with libseccomp.

    Raises InvalidArgument when it would be too long for the kernel.
    """
    program = _Program()
    target: _Target = _Return(KILL_PROCESS)
    for architecture in reversed(rules):
        section = program.search(architecture)
        target = program.jump(_JEQ, architecture.audit_arch, section, target)
    if isinstance(target, _Return):
        program.emit(_RET, target.action)
    program.emit(_LOAD, _ARCH_AT)
    return program.image()


class _Program:
    """Code under construction, from its last instruction to its first: jumps only lead forward."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}
        self._trampolines: dict[int, int] = {}

    def image(self) -> bytes:
        if len(self._code) > MAX_INSTRUCTIONS:
            raise InvalidArgument(f"the seccomp profile needs {len(self._code)} BPF instructions")
        return b"".join(_INSTRUCTION.pack(*instruction) for instruction in reversed(self._code))

    def emit(self, opcode: int, value: int, true: int = 0, false: int = 0) -> int:
        self._code.append((opcode, true, false, value))
        return len(self._code) - 1

    def jump(self, opcode: int, value: int, true: _Target, false: _Target) -> int:
        """Emit a conditional jump; what is out of its reach is first brought nearer."""
        while True:
            length = len(self._code)
            near_true, near_false = self._near(true), self._near(false)
            if len(self._code) == length:
                break
        return self.emit(opcode, value, length - 1 - near_true, length - 1 - near_false)

    def _near(self, target: _Target) -> int:
        length = len(self._code)
        if isinstance(target, _Return):
            found = self._returns.get(target.action)
            if found is None or length - 1 - found > _REACH:
                found = self._returns[target.action] = self.emit(_RET, target.action)
            return found
        if length - 1 - target <= _REACH:
            return target
        found = self._trampolines.get(target)
        if found is None or length - 1 - found > _REACH:
            found = self._trampolines[target] = self.emit(_JA, length - 1 - target)
        return found

    def search(self, rules: ArchitectureRules) -> int:
        """Emit the decisions of one architecture; return where they start."""
        blocks: dict[Decision, _Target] = {}
        ranges: list[tuple[int, _Target]] = []
        for start, decision in _ranges(rules):
            if decision not in blocks:
                blocks[decision] = self._decision(decision)
            if not ranges or ranges[-1][1] != blocks[decision]:
                ranges.append((start, blocks[decision]))
        tree = self._tree(ranges, rules.last)
        if isinstance(tree, _Return):
            return self.emit(_RET, tree.action)
        return self.emit(_LOAD, _NUMBER_AT)

    def _tree(self, ranges: Sequence[tuple[int, _Target]], last: int) -> _Target:
        if len(ranges) == 1:
            return ranges[0][1]
        # The kernel evaluates every number once when the filter is installed: halve the numbers.
        end = max(last, ranges[-1][0]) + 1
        middle = (ranges[0][0] + end) / 2
        split = min(range(1, len(ranges)), key=lambda i: abs(ranges[i][0] - middle))
        right = self._tree(ranges[split:], last)
        left = self._tree(ranges[:split], ranges[split][0] - 1)
        return self.jump(_JGE, ranges[split][0], right, left)

    def _decision(self, decision: Decision) -> _Target:
        target: _Target = _Return(decision.action)
        for conditions, action in reversed(decision.alternatives):
            matched: _Target = _Return(action)
            for condition in reversed(conditions):
                matched = self._compare(condition, matched, target)
            target = matched
        return target

    def _compare(self, condition: Condition, yes: _Target, no: _Target) -> _Target:
        match condition.operator:
            case "NE" | "LT" | "LE":
                opposite = {"NE": "EQ", "LT": "GE", "LE": "GT"}[condition.operator]
                yes, no = no, yes
            case operator:
                opposite = operator
        low_at = _ARGUMENTS_AT + 8 * condition.index
        if opposite == "MASKED_EQ":
            return self._masked_equal(condition, low_at, yes, no)
        high, low = condition.value >> 32, condition.value & _HIGHEST
        self.jump({"EQ": _JEQ, "GE": _JGE, "GT": _JGT}[opposite], low, yes, no)
        below = self.emit(_LOAD, low_at)
        below = self.jump(_JEQ, high, below, no)
        if opposite != "EQ":
            self.jump(_JGT, high, yes, below)
        return self.emit(_LOAD, low_at + 4)

    def _masked_equal(
        self, condition: Condition, low_at: int, yes: _Target, no: _Target
    ) -> _Target:
        mask, wanted = condition.value, condition.value_two
        self.jump(_JEQ, wanted & _HIGHEST, yes, no)
        self.emit(_AND, mask & _HIGHEST)
        target = self.emit(_LOAD, low_at)
        if mask >> 32 or wanted >> 32:
            self.jump(_JEQ, wanted >> 32, target, no)
            self.emit(_AND, mask >> 32)
            target = self.emit(_LOAD, low_at + 4)
        return target


def _ranges(rules: ArchitectureRules) -> list[tuple[int, Decision]]:
    """Return where each stretch of numbers with the same decision starts, from 0 on."""
    ranges: list[tuple[int, Decision]] = []
    for number in range(rules.last + 1):
        decision = rules.decisions.get(number, rules.default)
        if not ranges or ranges[-1][1] != decision:
            ranges.append((number, decision))
    if not ranges or ranges[-1][1] != rules.beyond:
        ranges.append((rules.last + 1, rules.beyond))
    return ranges
