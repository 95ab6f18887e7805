"""docker commands on a terminal: a person types, looks, leaves and comes back."""

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.support import leaks
from tests.support.engines import Shell
from tests.support.terminal import Terminal

Docker = Callable[[str], str]
Typed = Callable[[str], Terminal]
pytestmark = pytest.mark.vm
CTRL_C, CTRL_D, CTRL_P, CTRL_Q, CTRL_X = "\x03", "\x04", "\x10", "\x11", "\x18"
_STATE = "inspect --format '{{.State.Status}} {{.State.ExitCode}}'"


@pytest.fixture
def typed(shell: Shell) -> Iterator[Typed]:
    """Return a callable that starts a docker command on a terminal."""
    open_terminals: list[Terminal] = []

    def start(arguments: str) -> Terminal:
        terminal = Terminal(["sh", "-c", f"exec docker {arguments}"], *shell.place)
        open_terminals.append(terminal)
        return terminal

    yield start
    for terminal in open_terminals:
        terminal.close()


def _becomes(docker: Docker, name: str, state: str) -> None:
    assert leaks.settle(lambda: docker(f"{_STATE} {name}").strip() != state), docker(
        f"{_STATE} {name}"
    )


def test_a_shell_is_talked_to_and_ends_with_its_status(typed: Typed) -> None:
    terminal = typed("run --rm -it -h box busybox sh")
    terminal.expect("/ # ")
    terminal.send("tty; echo $((40+2)) >&2\r")
    terminal.expect("/dev/pts/0\r\n42\r\n")
    terminal.send("stty size\r")
    terminal.expect("24 80\r\n")
    terminal.send("exit 7\r")
    assert terminal.wait() == 7


def test_the_window_of_the_container_follows_that_of_the_person(
    docker: Docker, typed: Typed
) -> None:
    docker("run -d --name web busybox sleep 300")
    terminal = typed("exec -it web sh")
    terminal.expect("/ # ")
    terminal.send("until stty size | grep '31 97'; do sleep 0.1; done; echo seen\r")
    for _ in range(60):  # docker misses a change that comes while it tells the first size
        terminal.resize(31, 97)
        if terminal.shows("31 97\r\nseen", 1.0):
            break
    terminal.expect("31 97\r\nseen")
    terminal.expect("/ # ")
    terminal.send(CTRL_D)
    assert terminal.wait() == 0


def test_leaving_with_the_detach_keys_and_coming_back(docker: Docker, typed: Typed) -> None:
    terminal = typed("run -it --name web busybox sh")
    terminal.expect("/ # ")
    terminal.send("kept=yes\r")
    terminal.expect("/ # ")
    terminal.send(CTRL_P + CTRL_Q)
    assert terminal.wait() == 0
    assert docker(f"{_STATE} web") == "running 0\n"
    again = typed("attach web")
    again.send("\recho $kept\r")
    again.expect("yes\r\n")
    again.send("exit 5\r")
    assert again.wait() == 5


def test_detach_keys_of_ones_own(docker: Docker, typed: Typed) -> None:
    docker("run -d -it --name web busybox sh")
    terminal = typed("attach --detach-keys ctrl-x,y web")
    terminal.send("\r")
    terminal.expect("/ # ")
    terminal.send("echo on" + CTRL_P + CTRL_Q + "\r")  # no longer special
    terminal.expect("on")
    terminal.send(CTRL_X + "y")
    assert terminal.wait() == 1
    assert "read escape sequence" in terminal.rest
    assert docker(f"{_STATE} web") == "running 0\n"


def test_an_interrupt_typed_goes_to_the_program(docker: Docker, typed: Typed) -> None:
    # A loop: a shell interrupted just before it starts a program waits for that first.
    script = 'trap "exit 9" INT; echo up; while :; do sleep 0.1; done'
    terminal = typed(f"run -it --name web busybox sh -c '{script}'")
    terminal.expect("up\r\n")
    terminal.send(CTRL_C)
    assert terminal.wait() == 9


def test_signals_of_the_client_go_to_the_container(docker: Docker, typed: Typed) -> None:
    script = "trap 'echo got it; exit 6' TERM; echo up; while :; do sleep 0.1; done"
    terminal = typed(f'run --name web busybox sh -c "{script}"')
    terminal.expect("up\r\n")
    terminal.signal(signal.SIGTERM)
    terminal.expect("got it")
    assert terminal.wait() == 6


def test_without_sig_proxy_the_container_goes_on(docker: Docker, typed: Typed) -> None:
    script = "trap 'exit 9' INT; while :; do echo on; sleep 0.2; done"
    docker(f'run -d --name web busybox sh -c "{script}"')
    terminal = typed("attach --sig-proxy=false web")
    terminal.expect("on\r\n")
    terminal.send(CTRL_C)
    docker("exec web sleep 1")
    assert docker(f"{_STATE} web") == "running 0\n"
    proxied = typed("attach web")
    proxied.expect("on\r\n")
    proxied.send(CTRL_C)
    _becomes(docker, "web", "exited 9")


def test_attach_without_stdin_shows_only(docker: Docker, typed: Typed) -> None:
    ticking = "while sleep 0.2; do echo tick; done &"
    reading = "while read line; do echo got $line; done; exit 3"
    docker(f"run -d -i --name web busybox sh -c '{ticking} {reading}'")
    first = typed("attach --no-stdin web")
    first.send("ignored\r")
    first.expect("tick")  # attached: who comes later does not see what was printed before
    second = typed("attach web")
    second.expect("tick")
    second.send("typed\r")
    first.expect("got typed\r\n")
    second.expect("got typed\r\n")
    assert "got ignored" not in first.rest + second.rest
    second.send(CTRL_D)
    # The container's stdin was opened for many clients (-d): it stays open when one ends.
    assert docker(f"{_STATE} web") == "running 0\n"


def test_start_attached_to_what_was_made_for_a_terminal(docker: Docker, typed: Typed) -> None:
    docker("create -it --name web busybox sh -c 'read line; echo got $line; exit 4'")
    terminal = typed("start -a -i web")
    terminal.send("hello\r")
    terminal.expect("got hello")
    assert terminal.wait() == 4
    assert docker(f"{_STATE} web") == "exited 4\n"


def test_an_exec_is_left_and_goes_on(docker: Docker, typed: Typed) -> None:
    docker("run -d --name web busybox sleep 300")
    terminal = typed("exec -it web sh -c 'echo up; sleep 2; echo later > /later'")
    terminal.expect("up")
    terminal.send(CTRL_P + CTRL_Q)
    terminal.wait()
    assert leaks.settle(lambda: "later" not in docker("exec web sh -c 'cat /later || true'"))


def test_following_logs_ends_with_an_interrupt(docker: Docker, typed: Typed) -> None:
    docker("run -d --name web busybox sh -c 'echo first; sleep 300'")
    terminal = typed("logs -f web")
    terminal.expect("first")
    terminal.send(CTRL_C)
    assert terminal.wait() != 0
    assert docker(f"{_STATE} web") == "running 0\n"
