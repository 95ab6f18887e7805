"""DNS messages, and which names each pod is told."""

import json
import os
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.network import dns
from hyper.network.directory import Answer, Change, Directory
from hyper.network.fallback import FallbackResolver
from hyper.network.networks import Joined, Network

BACK = Network("n1", "10.0.0.0/24", "10.0.0.1", name="back")
FRONT = Network("n2", "10.1.0.0/24", "10.1.0.1", name="front", internal=True)


def _query(name: str, kind: int = dns.A, number: int = 7) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    header = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
    return header + labels + struct.pack("!BHH", 0, kind, 1)


def _joined(network: Network, address: str, *names: str) -> Joined:
    return Joined(network.id, 0, "", address, 24, network.gateway, names, internal=network.internal)


@pytest.fixture
def directory() -> Directory:
    made = Directory()
    made.define(BACK)
    made.define(FRONT)
    made.put("web", [_joined(BACK, "10.0.0.2", "web", "www")], ())
    made.put("db", [_joined(BACK, "10.0.0.3", "db"), _joined(FRONT, "10.1.0.3", "db")], ["9.9.9.9"])
    made.put("hidden", [_joined(FRONT, "10.1.0.4", "hidden")], ())
    return made


def _ask(directory: Directory, who: str, name: str, kind: int = dns.A) -> Answer | None:
    return directory.lookup(who, dns.parse_query(_query(name, kind)))


def test_a_question_is_read() -> None:
    question = dns.parse_query(_query("Web.Back"))
    assert (question.number, question.name, question.kind) == (7, "web.back", dns.A)


@given(st.binary(max_size=80))
def test_anything_may_come_from_a_guest(message: bytes) -> None:
    try:
        question = dns.parse_query(message)
    except ValueError:
        return
    assert dns.failure(message, question, dns.SERVFAIL)[:2] == message[:2]


def test_an_answer_repeats_the_question_and_has_the_addresses() -> None:
    query = _query("web")
    reply = dns.answer(query, dns.parse_query(query), ["10.0.0.2"])
    number, flags, questions, answers, *_ = struct.unpack_from("!HHHHHH", reply)
    assert (number, flags & 0x8000, flags & 0xF, questions, answers) == (7, 0x8000, 0, 1, 1)
    assert reply[12:].startswith(query[12:]) and reply.endswith(bytes([10, 0, 0, 2]))


def test_a_known_name_has_no_answer_of_another_type() -> None:
    query = _query("web", dns.AAAA)
    reply = dns.answer(query, dns.parse_query(query), ["10.0.0.2"])
    assert struct.unpack_from("!HHHHHH", reply)[3] == 0


def test_a_name_has_the_addresses_of_the_type_asked_for() -> None:
    addresses = ["10.0.0.2", "fd00::2", "fd00::3"]
    for kind, packed in (
        (dns.A, [bytes([10, 0, 0, 2])]),
        (dns.AAAA, [b"\xfd" + bytes(14) + bytes([last]) for last in (2, 3)]),
        (15, []),
    ):
        query = _query("web", kind)
        reply = dns.answer(query, dns.parse_query(query), addresses)
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, dns.TTL_S, len(p)) + p for p in packed]
        assert reply[12:] == query[12:] + b"".join(records)


def test_ipv6_has_names_too() -> None:
    directory = Directory()
    directory.define(BACK)
    directory.put("six", [replace(_joined(BACK, "10.0.0.2", "six"), address6="fd00::2")], ())
    directory.put("four", [_joined(BACK, "10.0.0.3", "four")], ())
    for who in ("fd00::2", "10.0.0.3"):
        assert _ask(directory, who, "six") == Answer(known=True, addresses=("10.0.0.2", "fd00::2"))
    pointer = ".".join("2" + "0" * 27 + "00df") + ".ip6.arpa"
    assert _ask(directory, "10.0.0.3", pointer, dns.PTR) == Answer(known=True, name="six.back")
    assert _ask(directory, "10.0.0.3", pointer[2:], dns.PTR) == Answer()
    directory.drop("six")
    assert _ask(directory, "fd00::2", "four") is None
    assert _ask(directory, "10.0.0.3", "six") == Answer()


def test_members_are_found_by_every_name(directory: Directory) -> None:
    for name in ("web", "www", "WEB", "web.back"):
        assert _ask(directory, "10.0.0.3", name) == Answer(known=True, addresses=("10.0.0.2",))


def test_a_pod_on_two_networks_answers_each_with_its_address_there(directory: Directory) -> None:
    assert _ask(directory, "10.0.0.2", "db") == Answer(known=True, addresses=("10.0.0.3",))
    assert _ask(directory, "10.1.0.4", "db") == Answer(known=True, addresses=("10.1.0.3",))


def test_others_are_not_known(directory: Directory) -> None:
    assert _ask(directory, "10.0.0.2", "hidden") == Answer()
    assert _ask(directory, "10.1.0.4", "web") == Answer(outside=False)
    assert _ask(directory, "10.0.0.3", "example.com") == Answer(servers=("9.9.9.9",))
    assert _ask(directory, "10.9.9.9", "web") is None


def test_an_address_has_the_name_of_its_network(directory: Directory) -> None:
    pointer = "2.0.0.10.in-addr.arpa"
    assert _ask(directory, "10.0.0.3", pointer, dns.PTR) == Answer(known=True, name="web.back")
    assert _ask(directory, "10.1.0.4", pointer, dns.PTR) == Answer(outside=False)


def test_a_pod_that_left_is_forgotten(directory: Directory) -> None:
    directory.drop("web")
    assert _ask(directory, "10.0.0.3", "web") == Answer(servers=("9.9.9.9",))
    assert _ask(directory, "10.0.0.2", "db") is None


def test_who_follows_knows_what_the_directory_does(directory: Directory) -> None:
    told: list[Change] = []
    first = Directory()
    first.follow(told.append)
    for network in (BACK, FRONT):
        first.define(network)
    first.put("web", [_joined(BACK, "10.0.0.2", "web")], ["9.9.9.9"])
    site = replace(_joined(BACK, "10.0.0.2", "site"), calls=(("mine", "db"),))
    first.put("web", [site], ["9.9.9.9"])
    first.put("db", [_joined(BACK, "10.0.0.3", "db"), _joined(FRONT, "10.1.0.3", "db")], ())
    first.put("gone", [_joined(FRONT, "10.1.0.4", "gone")], ())
    first.drop("gone")
    first.drop("never there")
    fallback = FallbackResolver("127.0.0.1", 0)
    for change in told:
        fallback.note(json.loads(json.dumps(change)))
    second = fallback._directory()
    for who in ("10.0.0.2", "10.0.0.3", "10.1.0.3", "10.1.0.4"):
        for name in ("web", "site", "site.back", "db", "gone", "mine", "example.com"):
            assert _ask(second, who, name) == _ask(first, who, name), (who, name)
    assert len(told) == 7
    for descriptor in fallback.step_back():
        os.close(descriptor)
    fallback.dispose()


def test_a_name_that_only_one_pod_uses_is_found_by_no_other(directory: Directory) -> None:
    place = _joined(BACK, "10.0.0.2", "web")
    directory.put("web", [replace(place, calls=(("Data", "db"), ("gone", "nosuch")))], ())
    assert _ask(directory, "10.0.0.2", "data") == Answer(known=True, addresses=("10.0.0.3",))
    assert _ask(directory, "10.0.0.2", "gone") == Answer()
    assert _ask(directory, "10.0.0.3", "data") == Answer(servers=("9.9.9.9",), outside=True)


def test_names_of_pods_that_somebody_else_has_say_nothing_of_who_asks(directory: Directory) -> None:
    """A headless service has the addresses of pods, and names for them."""
    both = [_joined(BACK, "10.0.0.2", "all", "web"), _joined(BACK, "10.0.0.3", "all")]
    directory.put("service", both, (), owner=False)

    def asked(who: str, name: str) -> Answer | None:
        return _ask(directory, who, name)

    assert asked("10.0.0.3", "all") == Answer(known=True, addresses=("10.0.0.2", "10.0.0.3"))
    assert asked("10.0.0.3", "web") == Answer(known=True, addresses=("10.0.0.2",))
    assert asked("10.0.0.3", "hidden") == Answer(known=True, addresses=("10.1.0.4",))
    directory.put("service", both[1:], (), owner=False)
    assert asked("10.0.0.2", "all") == Answer(known=True, addresses=("10.0.0.3",))
    assert asked("10.0.0.2", "web") == Answer(known=True, addresses=("10.0.0.2",))
    directory.drop("service")
    assert asked("10.0.0.2", "all") == Answer()
    assert asked("10.0.0.2", "db") == Answer(known=True, addresses=("10.0.0.3",))
