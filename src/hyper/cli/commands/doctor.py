"""hyper doctor: every check of this machine with its reason, and what to do."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import TEXT, Flag
from hyper.sdk import answers

_MARKS = {True: ("ok  ", "\x1b[32mok\x1b[0m  "), False: ("FAIL", "\x1b[31mFAIL\x1b[0m")}
_WARNING = ("warn", "\x1b[33mwarn\x1b[0m")


def doctor(call: Invocation) -> int:
    """Print the daemon's checks; status 1 when one of them failed."""
    layout = call.options.text("format")
    found = call.daemon.call("GET", "/hyper/v1/doctor")
    checks = answers.objects(found) or answers.objects(found, "Checks")
    if layout:
        from hyper.cli.inspection import compile_layout, print_formatted

        print_formatted(found, compile_layout(layout))
        return 0 if all(_passed(check) for check in checks) else 1
    import os

    coloured = os.isatty(1) and "NO_COLOR" not in os.environ
    width = max((len(answers.text(check, "Name")) for check in checks), default=0)
    for check in checks:
        marks = _WARNING if _passed(check) and check.get("Warning") else _MARKS[_passed(check)]
        name, detail = answers.text(check, "Name"), answers.text(check, "Detail")
        print(f"{marks[coloured]}  {name:<{width}}  {detail}".rstrip())
        if answers.text(check, "Advice") and (not _passed(check) or check.get("Warning")):
            print(f"      {'':<{width}}  -> {answers.text(check, 'Advice')}")
    return 0 if all(_passed(check) for check in checks) else 1


def _passed(check: dict[str, object]) -> bool:
    return bool(check.get("Ok"))


COMMAND = Command(
    doctor,
    "[OPTIONS]",
    maximum=0,
    flags=(Flag("format", TEXT, "'json', or a Go template", short="f"),),
)
