"""hyper kernel: the guest kernels containers can be run on."""

import os
import sys

from hyper.cli.command import Command, CommandFailed, Invocation
from hyper.cli.each import each_of
from hyper.cli.flags import BOOL, TEXT, Flag
from hyper.cli.listing import show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers
from hyper.sdk.http1 import path_of

_FIELDS = ("Name", "Version", "Default", "Path")
_HEADERS = {"Name": "NAME", "Version": "VERSION", "Default": "DEFAULT", "Path": "PATH"}


def list_kernels(call: Invocation) -> int:
    """List kernels."""
    found = answers.objects(call.daemon.call("GET", "/hyper/v1/kernels"))
    rows = [
        {
            "Name": answers.text(item, "Name"),
            "Version": answers.text(item, "Version"),
            "Default": "*" if item.get("Default") else "",
            "Path": answers.text(item, "Path"),
        }
        for item in found
    ]
    quiet = "Name" if call.options.on("quiet") else ""
    show(rows, call.options.text("format"), _FIELDS, _HEADERS, quiet)
    return 0


def add(call: Invocation) -> int:
    """Make a kernel known under a name."""
    path = os.path.abspath(call.arguments[0])
    if not os.path.isfile(path):
        raise CommandFailed(f"{path}: no such file; give the path of an uncompressed vmlinux")
    name = call.arguments[1] if len(call.arguments) > 1 else ""
    body = {"Path": path, "Name": name}
    print(answers.text(call.daemon.call("POST", "/hyper/v1/kernels", None, body), "Name"))
    return 0


def remove(call: Invocation) -> int:
    """Forget kernels."""

    def act(name: str) -> None:
        call.daemon.call("DELETE", path_of("hyper/v1/kernels", name))

    return each_of(call.arguments, act, print)


def build(call: Invocation) -> int:
    """Build the guest kernel, with the sources' own script; this process becomes it."""
    source = os.path.dirname(os.path.dirname(sys.modules["hyper"].__path__[0]))
    script = os.path.join(source, "guest", "kernel", "build.py")
    if not os.path.isfile(script):
        raise CommandFailed(
            "the sources of the guest kernel are not in this installation; "
            "run `make kernel` in a checkout, then `hyper kernel add PATH`"
        )
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, script, *call.arguments])


LS = Command(
    list_kernels,
    "[OPTIONS]",
    maximum=0,
    flags=(
        Flag("format", TEXT, FORMAT_HELP),
        Flag("quiet", BOOL, "Only display names", short="q"),
    ),
)
ADD = Command(add, "PATH [NAME]", minimum=1, maximum=2)
RM = Command(remove, "KERNEL [KERNEL...]", minimum=1, names="kernel")
BUILD = Command(build, "[BUILD OPTIONS...]", interspersed=False)
