"""Networks between pods: who reaches whom, by which name, and what a hostile guest can do."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from hyper.network.uplink import SLIRP_SUBNET6
from tests.support import leaks
from tests.support.daemon import Daemon, Result
from tests.support.pods import container, pod
from tests.support.segments import assert_offloads_work

pytestmark = pytest.mark.root  # an ordinary user may have no namespaces: then this is refused

Hyper = Callable[..., Result]
REACHED, CUT = "reached\n", "cut\n"


@pytest.fixture
def networks(hyper: Hyper) -> Iterator[Callable[..., str]]:
    """Return a callable that makes a network; they are removed after the test's containers."""
    made: list[str] = []

    def make(name: str, *arguments: str) -> str:
        made.append(hyper("network", "create", *arguments, name).stdout.strip())
        return name

    yield make
    containers = hyper("ps", "--all", "--quiet").lines
    if containers:
        hyper("rm", "--force", *containers)
    if made:
        hyper("network", "rm", *made)


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    """Return where, on an address of the host that is not its loopback, somebody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no route, so no address that pods could reach")
        address = probe.getsockname()[0]
    with socket.create_server((address, 0)) as server, _hanging_up(server):
        yield server.getsockname()[:2]


@contextmanager
def _hanging_up(server: socket.socket) -> Iterator[None]:
    """Hang up on whoever connects: who was let in would wait for a word otherwise."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                server.accept()[0].close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(hyper: Hyper, name: str, *arguments: str) -> str:
    """Start a container that says its name to whoever connects to port 80; return its address."""
    script = f"while true; do echo {name} | nc -l -p 80; done"
    hyper("run", "-d", "--name", name, *arguments, "busybox", "sh", "-c", script)
    listens = "until netstat -ltn | grep -q ':80 '; do sleep 0.1; done"
    hyper("exec", name, "sh", "-c", listens)
    return _addresses(hyper, name)[0]


def _addresses(hyper: Hyper, name: str) -> list[str]:
    settings = json.loads(hyper("inspect", name).stdout)[0]["NetworkSettings"]
    return [each["IPAddress"] for each in settings["Networks"].values()]


def _ping(hyper: Hyper, name: str, target: str) -> str:
    """Return whether a container reaches an address."""
    script = f"ping -c 1 -W 2 {target} > /dev/null 2>&1 && echo reached || echo cut"
    return hyper("exec", name, "sh", "-c", script).stdout


def _addresses6(hyper: Hyper, name: str) -> list[str]:
    settings = json.loads(hyper("inspect", name).stdout)[0]["NetworkSettings"]
    return [each["GlobalIPv6Address"] for each in settings["Networks"].values()]


def _find(hyper: Hyper, name: str, question: str, kind: str = "a") -> str:
    """Return the address a container's resolver gives for a name, "" for none."""
    script = f"nslookup -type={kind} {question} | sed -n '/^Name/,$s/^Address: //p'"
    return hyper("exec", name, "sh", "-c", script, status=None).stdout.strip()


def test_a_pod_says_its_addresses_and_who_may_reach_its_ports(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    networks("lan", "--subnet", "10.91.0.0/24")
    networks("out")
    here = {"network": "lan", "ip": "10.91.0.77", "mac": "02:aa:00:00:00:07"}
    serve = "mkdir /w; echo hi > /w/index.html; exec httpd -f -p 80 -h /w"
    document = {
        "interfaces": [here | {"mtu": 1400, "ifname": "lan0"}, {"bridge": "out", "ifname": "o"}],
        "portmappings": [{"containerPort": 80}],
        "portmappingWhiteLists": {"internalNetworks": ["127.0.0.2/32"]},
    }
    pod(hyper, id="placed", containers=[container("a", serve)], **document)
    shown = hyper("pod", "exec", "placed", "ip", "addr").stdout
    assert "lan0: " in shown and "mtu 1400" in shown and "o@lan0: " in shown
    assert "inet 10.91.0.77/24" in shown and "link/ether 02:aa:00:00:00:07" in shown
    where = hyper("pod", "port", "ls", "placed").stdout.rpartition(":")[2]
    assert leaks.settle(lambda: _http(int(where), "127.0.0.2") != "hi")
    assert _http(int(where), "127.0.0.1") == ""
    taken = pod(hyper, id="second", interfaces=[here], status=1, containers=[])
    assert "address already in use" in taken.error.lower()
    hyper("pod", "rm", "-f", "placed", "second")


def _http(port: int, source: str) -> str:
    """Return the last line a web server of the host's loopback answers a client, "" for none."""
    request = b"GET / HTTP/1.0\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as client:
            client.sendall(request)
            return client.makefile().read().splitlines()[-1]
    except (OSError, IndexError):
        return ""


def test_members_reach_each_other_by_name(
    hyper: Hyper, daemon: Daemon, networks: Callable[..., str]
) -> None:
    networks("back")
    web = _serve(hyper, "web", "--network", "back", "--network-alias", "www")
    hyper("run", "-d", "--name", "client", "--network", "back", "busybox", "sleep", "600")
    assert _find(hyper, "client", "web") == _find(hyper, "client", "www") == web
    assert _ping(hyper, "client", web) == REACHED
    said = hyper("exec", "client", "sh", "-c", f"nc -w 5 {web} 80 < /dev/null").stdout
    assert said == "web\n"
    assert_offloads_work(hyper, daemon.run_dir, ["web", "client"])
    hyper("rename", "web", "site")
    assert _find(hyper, "client", "site") == web
    assert _find(hyper, "client", "web") == ""


def test_networks_separate(hyper: Hyper, networks: Callable[..., str]) -> None:
    networks("back")
    networks("front")
    back = _serve(hyper, "aa", "--network", "back")
    hyper("run", "-d", "--name", "bb", "--network", "front", "busybox", "sleep", "600")
    default = _serve(hyper, "cc")
    for target in (back, default):
        assert _ping(hyper, "bb", target) == CUT
    assert _find(hyper, "bb", "aa") == _find(hyper, "bb", "cc") == ""


def test_an_internal_network_has_no_way_out(
    hyper: Hyper, networks: Callable[..., str], listener: tuple[str, int]
) -> None:
    networks("open")
    networks("closed", "--internal")
    other = _serve(hyper, "other", "--network", "closed")
    script = f"nc -w 5 {listener[0]} {listener[1]} < /dev/null && echo reached || echo cut"
    inside = ("run", "--rm", "--network")
    assert hyper(*inside, "open", "busybox", "sh", "-c", script).stdout == REACHED
    assert hyper(*inside, "closed", "busybox", "sh", "-c", script).stdout == CUT
    hyper("run", "-d", "--name", "bb", "--network", "closed", "busybox", "sleep", "600")
    assert _ping(hyper, "bb", other) == REACHED
    assert "NXDOMAIN" in hyper("exec", "bb", "nslookup", "example.com", status=None).stdout


def test_the_loopback_of_the_host_is_not_reached(hyper: Hyper) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        gateway = "$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')"
        for target in (gateway, "169.254.77.1"):
            script = f"nc -w 3 {target} {port} < /dev/null && echo reached || echo cut"
            assert hyper("run", "--rm", "busybox", "sh", "-c", script).stdout == CUT


def test_a_running_container_joins_and_leaves(hyper: Hyper, networks: Callable[..., str]) -> None:
    networks("one")
    networks("two", "--internal")
    two = _serve(hyper, "two", "--network", "two")
    hyper("run", "-d", "--name", "moving", "--network", "one", "busybox", "sleep", "600")
    assert _ping(hyper, "moving", two) == CUT
    hyper("network", "connect", "--alias", "here", "two", "moving")
    assert _ping(hyper, "moving", two) == REACHED
    assert _find(hyper, "two", "here") == _addresses(hyper, "moving")[1]
    assert "eth1" in hyper("exec", "moving", "ip", "addr").stdout
    assert "active endpoints" in hyper("network", "rm", "two", status=1).error
    hyper("network", "disconnect", "two", "moving")
    assert _ping(hyper, "moving", two) == CUT
    assert "eth1" not in hyper("exec", "moving", "ip", "addr").stdout
    hyper("network", "connect", "two", "moving")
    hyper("network", "disconnect", "one", "moving")
    assert _ping(hyper, "moving", two) == REACHED
    assert "default" not in hyper("exec", "moving", "ip", "route").stdout
    # Its resolver is that of no network in particular, and there though none leads out.
    assert _find(hyper, "moving", "two") == two


_FORGE6 = """
ip addr add {victim}/64 dev eth0
ip addr del {own}/64 dev eth0
ping -6 -c 1 -W 2 -I {victim} {target} > /dev/null 2>&1 && echo reached || echo cut
"""


def test_ipv6_networks_are_separate_too_and_cannot_be_forged(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("this host's kernel has no IPv6")
    networks("six", "--ipv6", "--subnet", "fd00:6::/64", "--internal")
    networks("other", "--ipv6")
    for name, *arguments in (
        ("target", "--network", "six", "--ip6", "fd00:6::77"),
        ("evil", "--network", "six", "--cap-add", "NET_ADMIN"),
        ("stranger", "--network", "other"),
    ):
        hyper("run", "-d", "--name", name, *arguments, "busybox", "sleep", "600")
    (target,), (own,) = _addresses6(hyper, "target"), _addresses6(hyper, "evil")
    (stranger,) = _addresses6(hyper, "stranger")
    assert target == "fd00:6::77"
    assert _find(hyper, "evil", "target", "aaaa") == target
    assert _ping(hyper, "evil", target) == REACHED
    assert _ping(hyper, "evil", stranger) == _ping(hyper, "stranger", target) == CUT
    assert "default" not in hyper("exec", "target", "ip", "-6", "route").stdout
    # The routes go with the network, on the device that stays as well.
    hyper("network", "connect", "other", "target")
    routes = hyper("exec", "target", "ip", "-6", "route").stdout
    assert "fd00:6::/64" in routes
    hyper("network", "disconnect", "six", "target")
    assert "fd00:6::/64" not in hyper("exec", "target", "ip", "-6", "route").stdout
    hyper("network", "connect", "--ip6", target, "six", "target")
    hyper("network", "disconnect", "other", "target")
    hyper("network", "connect", "six", "stranger")
    assert _ping(hyper, "stranger", target) == REACHED
    hyper("network", "disconnect", "six", "stranger")
    assert _ping(hyper, "stranger", target) == CUT
    script = _FORGE6.format(victim="fd00:6::99", own=own, target=target)
    assert hyper("exec", "evil", "sh", "-c", script).stdout == CUT
    taken = ("--network", "six", "--ip6", target, "busybox", "true")
    assert "Address already in use" in hyper("run", "--rm", *taken, status=125).error


def test_ipv6_leads_out_and_to_no_loopback(hyper: Hyper, networks: Callable[..., str]) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1", 9))  # RFC 3849: nobody's; only the route is looked up
        except OSError:
            pytest.skip("this host has no route for IPv6, so pods have none either")
        address = probe.getsockname()[0]
    if IPv6Address(address) in IPv6Network(SLIRP_SUBNET6):
        pytest.skip(
            f"{address} of this host is slirp4netns' own; see tests/unit/test_network_uplink"
        )
    networks("six", "--ipv6")
    with (
        socket.create_server((address, 0), family=socket.AF_INET6) as server,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as hidden,
        _hanging_up(server),
    ):
        gateway = "$(ip -6 route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')"
        port, secret = server.getsockname()[1], hidden.getsockname()[1]
        script = f"""
        for place in '{address} {port}' "{gateway} {secret}" 'fd68:7970:6572::1 {secret}'; do
            nc -w 3 $place < /dev/null && echo reached || echo cut
        done"""
        tried = hyper("run", "--rm", "--network", "six", "busybox", "sh", "-c", script)
    assert tried.stdout == REACHED + CUT + CUT


def test_without_a_network_there_is_the_loopback_alone(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    shown = hyper("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
    assert set(shown.lines) - {"bonding_masters"} == {"lo"}
    hyper("run", "-d", "--name", "alone", "busybox", "sleep", "600")
    hyper("network", "disconnect", "bridge", "alone")
    assert hyper("exec", "alone", "ip", "-o", "link").stdout.count("\n") == 1
    # The device was put away, not lost.
    net = networks("back")
    hyper("network", "connect", net, "alone")
    address = _serve(hyper, "other", "--network", net)
    assert _ping(hyper, "alone", address) == REACHED


def test_addresses_are_as_asked(hyper: Hyper, networks: Callable[..., str]) -> None:
    plan = ("--subnet", "10.203.0.0/24", "--gateway", "10.203.0.9", "--ip-range", "10.203.0.64/28")
    networks("planned", *plan)
    asked = ("--ip", "10.203.0.200", "--mac-address", "02:11:22:33:44:55")
    assert _serve(hyper, "fixed", "--network", "planned", *asked) == "10.203.0.200"
    assert "02:11:22:33:44:55" in hyper("exec", "fixed", "ip", "link", "show", "eth0").stdout
    assert "via 10.203.0.9 " in hyper("exec", "fixed", "ip", "route").stdout
    _serve(hyper, "free", "--network", "planned")
    assert _addresses(hyper, "free")[0] in {f"10.203.0.{host}" for host in range(64, 80)}
    taken = ("--network", "planned", "--ip", "10.203.0.200", "busybox", "true")
    assert "Address already in use" in hyper("run", "--rm", *taken, status=125).error


def test_a_container_may_be_made_before_its_network(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    hyper("create", "--name", "early", "--network", "late", "busybox", "true")
    assert "network late not found" in hyper("start", "early", status=1).error
    networks("late")
    hyper("start", "--attach", "early")
    assert _addresses(hyper, "early") == [""]


def test_events_say_who_joins_and_leaves(hyper: Hyper, networks: Callable[..., str]) -> None:
    name = networks("watched")
    hyper("run", "--rm", "--network", name, "busybox", "true")
    listed = hyper("events", "--since", "1h", "--until", "0s", "--filter", "type=network",
                   "--filter", f"network={name}", "--format", "{{.Action}}")  # fmt: skip
    assert listed.lines == ["create", "connect", "disconnect"]


_FORGE_ADDRESS = """
ip addr add {victim}/16 dev eth0
ip addr del {own}/16 dev eth0
ping -c 1 -W 2 -I {victim} {target} > /dev/null 2>&1 && echo reached || echo cut
"""
_FORGE_MAC = """
ip link set eth0 down
ip link set eth0 address {mac}
ip link set eth0 up
ip route add default via {gateway} dev eth0
ping -c 1 -W 2 {target} > /dev/null 2>&1 && echo reached || echo cut
"""


def test_a_guest_that_takes_anothers_address_reaches_nobody(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    networks("back")
    victim = _serve(hyper, "victim", "--network", "back")
    target = _serve(hyper, "target", "--network", "back")
    hyper("run", "-d", "--name", "evil", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW",
          "--network", "back", "busybox", "sleep", "600")  # fmt: skip
    own = _addresses(hyper, "evil")[0]
    assert _ping(hyper, "evil", target) == REACHED
    script = _FORGE_ADDRESS.format(victim=victim, own=own, target=target)
    assert hyper("exec", "evil", "sh", "-c", script).stdout == CUT
    assert _ping(hyper, "target", victim) == REACHED


def test_a_guest_that_takes_anothers_mac_reaches_nobody(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    networks("back")
    target = _serve(hyper, "target", "--network", "back")
    settings = json.loads(hyper("inspect", "target").stdout)[0]["NetworkSettings"]["Networks"]
    hyper("run", "-d", "--name", "evil", "--cap-add", "NET_ADMIN",
          "--network", "back", "busybox", "sleep", "600")  # fmt: skip
    mac, gateway = settings["back"]["MacAddress"], settings["back"]["Gateway"]
    script = _FORGE_MAC.format(mac=mac, gateway=gateway, target=target)
    assert hyper("exec", "evil", "sh", "-c", script).stdout == CUT


def test_a_guest_reaches_no_network_it_was_not_let_into(
    hyper: Hyper, networks: Callable[..., str]
) -> None:
    networks("back")
    networks("front")
    secret = _serve(hyper, "secret", "--network", "back")
    hyper("run", "-d", "--name", "evil", "--cap-add", "NET_ADMIN",
          "--network", "front", "busybox", "sleep", "600")  # fmt: skip
    gateway = hyper("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "back")
    prefix = gateway.stdout.strip().rpartition(".")[0]
    script = f"""
ip addr add {prefix}.77/16 dev eth0
ping -c 1 -W 2 -I {prefix}.77 {secret} > /dev/null 2>&1 && echo reached || echo cut
ping -c 1 -W 2 {secret} > /dev/null 2>&1 && echo reached || echo cut
"""
    assert hyper("exec", "evil", "sh", "-c", script).stdout == CUT * 2


def test_networks_and_ports_outlive_the_daemon(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    daemon = start_daemon()
    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
    daemon.hyper("network", "create", "back")
    web = _serve(daemon.hyper, "web", "--network", "back", "-p", "127.0.0.1::80")
    daemon.hyper("run", "-d", "--name", "peer", "--network", "back", "busybox", "sleep", "600")
    host, _, port = daemon.hyper("port", "web", "80").stdout.strip().rpartition(":")
    daemon.kill()
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        assert connection.recv(100) == b"web\n"
    daemon.start()
    assert _addresses(daemon.hyper, "web") == [web]
    assert _ping(daemon.hyper, "peer", web) == REACHED
    assert _find(daemon.hyper, "peer", "web") == web
    daemon.hyper("network", "disconnect", "back", "peer")
    assert _ping(daemon.hyper, "peer", web) == CUT
    daemon.hyper("rm", "-f", "web", "peer")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=60)
    daemon.stop()
    assert leaks.settle(lambda: leaks.processes_naming(str(daemon.run_dir))), "the keeper is left"
