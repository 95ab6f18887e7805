"""hyper pod attach, stats, top and events: what a person at a terminal sees of a pod."""

import json
import re
from pathlib import Path

from tests.support.daemon import HYPER, Daemon
from tests.support.pods import Hyper, container, pod
from tests.support.terminal import Terminal

CTRL_P, CTRL_Q = "\x10", "\x11"


def _terminal(daemon: Daemon, folder: Path, *arguments: str) -> Terminal:
    return Terminal([str(HYPER), *arguments], daemon.environment_of_commands(), folder)


def test_a_pod_is_attached_to_watched_and_measured(
    daemon: Daemon, hyper: Hyper, tmp_path: Path
) -> None:
    shell = {"name": "shell", "image": "busybox", "command": ["sh"], "tty": True}
    pod(hyper, id="seen", containers=[shell | {"stdin": True}, container("b", "sleep 600")])
    events = _terminal(daemon, tmp_path, "pod", "events", "-f", "event=pause", "seen")
    stats = _terminal(daemon, tmp_path, "pod", "stats", "--format", "{{.Name}} {{.PIDs}}", "seen")
    attached = _terminal(daemon, tmp_path, "pod", "attach", "seen")
    try:
        attached.send("\r")
        attached.expect("# ")
        attached.resize(31, 97)
        attached.send("until stty size | grep '31 97'; do sleep 0.1; done; echo a''ttached\r")
        attached.expect("31 97\r\nattached")
        # Pods come and go from the figures while they are shown.
        stats.expect("seen-b 1")
        hyper("run", "-d", "--pod", "seen", "--name", "late", "busybox", "sleep", "600")
        stats.expect("late 1")
        stats.expect("seen-shell ")
        hyper("pod", "pause", "seen")
        events.expect(" pod pause ")
        hyper("pod", "unpause", "seen")
        # Leaving leaves the container running.
        attached.send(CTRL_P + CTRL_Q)
        attached.expect("read escape sequence")
        other = _terminal(daemon, tmp_path, "pod", "attach", "--detach-keys", "ctrl-x", "seen")
        other.send("echo a''gain\r")
        other.expect("again\r\n")
        other.send("\x18")
        other.expect("read escape sequence")
        other.close()
    finally:
        for each in (events, stats, attached):
            each.close()
    rows = [line.split() for line in hyper("pod", "top", "seen").lines]
    assert rows[0][0] == "CONTAINER" and {row[0] for row in rows[1:]} >= {"shell", "b"}
    told = hyper("pod", "events", "--since", "0", "--until", "0s", "--format", "{{json .}}", "seen")
    actions = [(one["Type"], one["Action"]) for one in map(json.loads, told.lines)]
    assert ("pod", "create") in actions and ("container", "start") in actions
    once = hyper("pod", "stats", "--no-stream", "seen").lines
    assert re.match(r"CONTAINER ID +NAME +CPU %", once[0]) and len(once) == 4
