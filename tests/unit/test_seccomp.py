"""Seccomp programs: their meaning call by call in an interpreter, and the kernel's word on them."""

import errno
import itertools
import json
import struct
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.agent import capabilities as caps
from hyper.agent.seccomp import compile_profile, default_program
from hyper.agent.seccomp.bpf import MAX_INSTRUCTIONS
from hyper.agent.seccomp.profile import ALLOW, AUDIT_ARCH, KILL_PROCESS
from hyper.agent.seccomp.tables import syscall_numbers
from hyper.core.errors import InvalidArgument, Unsupported

X86_64 = syscall_numbers("x86_64")
X86 = syscall_numbers("x86")
EPERM = 0x50000 | errno.EPERM
ENOSYS = 0x50000 | errno.ENOSYS
DEFAULT = default_program(caps.DEFAULT)


def run_filter(
    program: bytes, number: int, arguments: Sequence[int] = (), arch: str = "x86_64"
) -> int:
    """Interpret a program as the kernel would (kernel/seccomp.c, net/core/filter.c)."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, AUDIT_ARCH[arch], 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        opcode, true, false, value = code[at]
        at += 1
        match opcode:
            case 0x20:
                assert value % 4 == 0 and value < len(data)
                [accumulator] = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += true if accumulator == value else false
            case 0x25:
                at += true if accumulator > value else false
            case 0x35:
                at += true if accumulator >= value else false
            case 0x06:
                return int(value)
            case _:
                pytest.fail(f"instruction {opcode:#x} is not allowed in a seccomp filter")


def profile(*rules: dict[str, object], default: str = "SCMP_ACT_ERRNO") -> str:
    arch = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}
    return json.dumps({"defaultAction": default, "archMap": [arch], "syscalls": list(rules)})


def allow(*names: str, **more: object) -> dict[str, object]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def compare(operator: str, value: int, two: int = 0, index: int = 0) -> dict[str, object]:
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": two}


@pytest.mark.parametrize(
    "name",
    "read write openat close mmap execve exit_group futex fork vfork chroot mknod".split(),
)
def test_the_default_allows_ordinary_calls(name: str) -> None:
    assert run_filter(DEFAULT, X86_64[name]) == ALLOW


@pytest.mark.parametrize(
    "name",
    "mount umount2 keyctl add_key request_key bpf unshare setns reboot init_module kexec_load "
    "io_uring_setup open_by_handle_at settimeofday clock_settime swapon userfaultfd acct iopl "
    "perf_event_open syslog sethostname pivot_root quotactl vhangup mbind".split(),
)
def test_the_default_refuses_what_docker_refuses(name: str) -> None:
    assert run_filter(DEFAULT, X86_64[name]) == EPERM


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_ADMIN", "unshare"),
        ("CAP_SYS_ADMIN", "clone3"),
        ("CAP_SYS_PTRACE", "process_madvise"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_SYS_MODULE", "init_module"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_BPF", "bpf"),
        ("CAP_SYS_NICE", "mbind"),
    ],
)
def test_a_capability_opens_its_calls(capability: str, name: str) -> None:
    wider = default_program(caps.DEFAULT | caps.mask([capability]))
    assert run_filter(DEFAULT, X86_64[name]) != ALLOW
    assert run_filter(wider, X86_64[name]) == ALLOW


def test_clone_may_not_make_namespaces_and_clone3_falls_back() -> None:
    clone = X86_64["clone"]
    assert run_filter(DEFAULT, clone, [0x11]) == ALLOW
    assert run_filter(DEFAULT, clone, [0x3D0F00]) == ALLOW  # pthread_create
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run_filter(DEFAULT, clone, [0x11 | flag]) == EPERM
    assert run_filter(DEFAULT, X86_64["clone3"]) == ENOSYS
    assert run_filter(default_program(caps.ALL), clone, [0x10000000]) == ALLOW


def test_personality_and_socket_look_at_their_arguments() -> None:
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert run_filter(DEFAULT, X86_64["personality"], [value]) == ALLOW
    for value in (1, 0x40000, 0x1_0000_0000, 0xFFFF_FFFF_FFFF_FFFF):
        assert run_filter(DEFAULT, X86_64["personality"], [value]) == EPERM
    for family, expected in {
        1: ALLOW,
        2: ALLOW,
        38: EPERM,
        39: ALLOW,
        40: EPERM,
        41: ALLOW,
    }.items():
        assert run_filter(DEFAULT, X86_64["socket"], [family]) == expected


def test_calls_newer_than_the_profile_get_enosys() -> None:
    newest = X86_64["removexattrat"]
    assert run_filter(DEFAULT, newest) == ALLOW
    assert run_filter(DEFAULT, newest + 1) == ENOSYS
    assert run_filter(DEFAULT, 0xFFFFFFFF) == ENOSYS


def test_x32_calls_get_enosys() -> None:
    assert run_filter(DEFAULT, 0x40000000 | X86_64["read"]) == ENOSYS


def test_32_bit_programs_have_their_own_numbers() -> None:
    assert X86["read"] != X86_64["read"]
    for name, expected in {
        "read": ALLOW,
        "socketcall": ALLOW,
        "mount": EPERM,
        "bpf": EPERM,
    }.items():
        assert run_filter(DEFAULT, X86[name], arch="x86") == expected


def test_other_architectures_are_killed() -> None:
    assert run_filter(DEFAULT, 0, arch="aarch64") == KILL_PROCESS
    only_64 = json.loads(profile(allow("read")))
    only_64["archMap"] = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": None}]
    assert run_filter(compile_profile(json.dumps(only_64), 0), 3, arch="x86") == KILL_PROCESS


def test_aarch64_has_its_own_table() -> None:
    program = default_program(caps.DEFAULT, architecture="aarch64")
    numbers = syscall_numbers("aarch64")
    assert run_filter(program, numbers["openat"], arch="aarch64") == ALLOW
    assert run_filter(program, numbers["mount"], arch="aarch64") == EPERM


OPERATORS = {
    "NE": lambda a, v, _: a != v,
    "LT": lambda a, v, _: a < v,
    "LE": lambda a, v, _: a <= v,
    "EQ": lambda a, v, _: a == v,
    "GE": lambda a, v, _: a >= v,
    "GT": lambda a, v, _: a > v,
    "MASKED_EQ": lambda a, v, w: a & v == w,
}
words = st.integers(0, 2**64 - 1) | st.sampled_from(
    [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**64 - 1]
)


@given(st.sampled_from(sorted(OPERATORS)), words, words, words, st.integers(0, 5))
def test_every_operator_compares_all_64_bits(
    operator: str, argument: int, value: int, two: int, index: int
) -> None:
    for tried, given_value in itertools.product((argument, value), (value, argument)):
        program = compile_profile(
            profile(allow("read", args=[compare(operator, given_value, two, index)])), 0
        )
        arguments = [7] * index + [tried]
        expected = ALLOW if OPERATORS[operator](tried, given_value, two) else EPERM
        assert run_filter(program, X86_64["read"], arguments) == expected


def test_conditions_on_different_arguments_must_all_hold_on_the_same_one_any() -> None:
    both = compile_profile(
        profile(allow("read", args=[compare("EQ", 1), compare("EQ", 2, index=1)])), 0
    )
    assert [run_filter(both, 0, args) for args in ((1, 2), (1, 3), (0, 2))] == [
        ALLOW,
        EPERM,
        EPERM,
    ]
    either = compile_profile(profile(allow("read", args=[compare("EQ", 1), compare("EQ", 2)])), 0)
    assert [run_filter(either, 0, [value]) for value in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]


@given(st.lists(st.sets(st.sampled_from(sorted(X86_64))), max_size=4), st.data())
def test_every_number_gets_the_decision_of_its_rule(
    groups: list[set[str]], data: st.DataObject
) -> None:
    actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRAP", "SCMP_ACT_KILL_PROCESS"]
    values = [ALLOW, 0x7FFC0000, 0x30000, KILL_PROCESS]
    rules = [
        {"names": sorted(names), "action": action}
        for names, action in zip(groups, actions, strict=False)
    ]
    program = compile_profile(profile(*rules), 0)
    expected: dict[int, int] = {}
    for names, value in zip(groups, values, strict=False):
        for name in names:
            expected.setdefault(X86_64[name], value)
    last = max(expected, default=-1)
    for number in [*range(470), 2**31, 2**32 - 1]:
        wanted = expected.get(number, EPERM) if number <= last else ENOSYS
        assert run_filter(program, number) == wanted


def test_a_profile_of_blocked_calls_allows_the_rest() -> None:
    program = compile_profile(
        profile(
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            default="SCMP_ACT_ALLOW",
        ),
        0,
    )
    assert run_filter(program, X86_64["chmod"]) == 0x50000 | 13
    assert run_filter(program, X86_64["read"]) == ALLOW
    assert run_filter(program, 100_000) == ALLOW


def test_the_old_format_and_the_list_of_architectures_work() -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
            "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW"}],
        }
    )
    program = compile_profile(text, 0)
    assert run_filter(program, X86_64["read"]) == ALLOW
    assert run_filter(program, X86["read"], arch="x86") == ALLOW


def test_an_empty_profile_is_no_filter() -> None:
    assert compile_profile("{}", 0) == b""


def test_minimum_kernel_is_compared_by_number() -> None:
    text = profile(allow("ptrace", includes={"minKernel": "5.10"}))
    assert run_filter(compile_profile(text, 0, kernel="5.9.1"), X86_64["ptrace"]) != ALLOW
    assert run_filter(compile_profile(text, 0, kernel="6.1.0-hyper"), X86_64["ptrace"]) == ALLOW


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"defaultAction": "SCMP_ACT_MAYBE"}',
        '{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}',
        profile({"names": "read", "action": "SCMP_ACT_ALLOW"}),
        profile({"names": ["read"]}),
        profile(allow("read", name="write")),
        profile(allow("read", args=[compare("LIKE", 1)])),
        profile(allow("read", args=[compare("EQ", 2**64)])),
        profile(allow("read", args=[compare("EQ", 1, index=6)])),
        profile(allow("read", args=[compare("EQ", -1)])),
        profile(allow("read", includes={"minKernel": "new"})),
        profile(*(allow("read", args=[compare("EQ", n << 32 | n)]) for n in range(2000))),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        compile_profile(text, 0)


def test_notify_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        compile_profile(profile(default="SCMP_ACT_NOTIFY"), 0)


def test_the_default_program_is_short_and_shallow() -> None:
    for bits in (caps.DEFAULT, caps.ALL, 0):
        assert len(default_program(bits)) // 8 < 320
    assert len(DEFAULT) // 8 < MAX_INSTRUCTIONS


INSTALL = r"""
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
program = sys.stdin.buffer.read()
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
tries = json.loads(sys.argv[1])
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program))) == 0
results = []
for number, *arguments in tries:
    ctypes.set_errno(0)
    status = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a) for a in arguments))
    results.append(ctypes.get_errno() if status < 0 else 0)
print(json.dumps(results))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_the_kernel_takes_the_default_program_and_agrees() -> None:
    tries = {
        "getpid": ([X86_64["getpid"]], 0),
        "keyctl": ([X86_64["keyctl"], 0, 0], errno.EPERM),
        "mount": ([X86_64["mount"], 0, 0, 0, 0, 0], errno.EPERM),
        "clone newuser": ([X86_64["clone"], 0x10000000, 0, 0, 0, 0], errno.EPERM),
        "clone3": ([X86_64["clone3"], 0, 0], errno.ENOSYS),
        "personality query": ([X86_64["personality"], 0xFFFFFFFF], 0),
        "personality other": ([X86_64["personality"], 0x40000], errno.EPERM),
        "unshare": ([X86_64["unshare"], 0x10000000], errno.EPERM),
        "alg socket": ([X86_64["socket"], 38, 5, 0], errno.EPERM),
        "unknown": ([5000], errno.ENOSYS),
        "hole": ([400], errno.EPERM),
    }
    result = subprocess.run(
        [sys.executable, "-c", INSTALL, json.dumps([call for call, _ in tries.values()])],
        input=DEFAULT,
        capture_output=True,
        check=True,
    )
    answers = json.loads(result.stdout)
    assert dict(zip(tries, answers, strict=True)) == {
        name: want for name, (_, want) in tries.items()
    }
