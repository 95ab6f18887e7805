"""Concurrency and subprocess rules that ruff cannot see: every task lives in a TaskGroup."""

import ast

from tests.checks import tree

_BANNED_CALLS = {"ensure_future", "gather", "run_coroutine_threadsafe"}
_PROCESS_MODULES = {"subprocess", "pty", "multiprocessing"}
_PROCESS_CALLS = {"system", "popen", "posix_spawn", "posix_spawnp", "fork", "forkpty"}
_MAY_START_PROCESSES = {
    "src/hyper/cli/credentials.py",  # asks docker-credential-* helpers, without host and asyncio
    "src/hyper/host/process.py",
    "src/hyper/network/birth.py",  # the single-threaded process that enters the pods' namespaces
    "src/hyper/hypervisor/spawner.py",  # the single-threaded process that becomes the VMMs
    "src/hyper/sdk/autostart.py",  # starts hyperd from the command line, which imports nothing slow
}

# Waits for a thread that cannot be cancelled, and lets its caller raise.
_MAY_HOLD_CANCELLATION = {"src/hyper/host/threads.py"}


def _receiver(call: ast.Call) -> str:
    return ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def test_tasks_are_started_in_task_groups_only() -> None:
    problems = []
    for path in tree.python_files("src"):
        for node in ast.walk(tree.parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            place = f"{tree.shown(path)}:{node.lineno}"
            if _called(node) in _BANNED_CALLS and _receiver(node) in {"", "asyncio", "loop"}:
                problems.append(f"{place}: {_called(node)}")
            if _called(node) == "create_task":
                owner = _receiver(node).rpartition(".")[2].lower()
                if not owner.endswith(("group", "tasks")):
                    problems.append(f"{place}: create_task on {owner or 'nothing'}")
                elif not any(keyword.arg == "name" for keyword in node.keywords):
                    problems.append(f"{place}: a task without a name")
    tree.report(
        problems, "tasks are named and started on a TaskGroup (called ...group or ...tasks)"
    )


def test_only_host_process_starts_processes() -> None:
    problems = []
    for path in tree.python_files("src"):
        if tree.shown(path) in _MAY_START_PROCESSES:
            continue
        for node in ast.walk(tree.parsed(path)):
            match node:
                case ast.Import(names=names):
                    bad = {alias.name.split(".")[0] for alias in names} & _PROCESS_MODULES
                    problems += [f"{tree.shown(path)}:{node.lineno}: import {x}" for x in bad]
                case ast.Call() if _receiver(node) == "os" and _called(node) in _PROCESS_CALLS:
                    problems.append(f"{tree.shown(path)}:{node.lineno}: os.{_called(node)}")
    tree.report(problems, "host/process.py is the only one to start processes")


def test_cancellation_is_not_swallowed() -> None:
    problems = []
    for path in tree.python_files("src"):
        if tree.shown(path) in _MAY_HOLD_CANCELLATION:
            continue
        for node in ast.walk(tree.parsed(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            wide = node.type is None or "CancelledError" in caught or "BaseException" in caught
            raises = any(isinstance(child, ast.Raise) for child in ast.walk(node))
            if wide and not raises:
                problems.append(f"{tree.shown(path)}:{node.lineno}: except {caught}")
    tree.report(problems, "CancelledError is never swallowed: raise it again")
