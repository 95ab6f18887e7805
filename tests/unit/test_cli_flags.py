"""The parser of flags: pflag's rules and words."""

import pytest

from hyper.cli.command import CommandFailed
from hyper.cli.flags import (
    BOOL,
    DECIMAL,
    DURATION,
    FILTER,
    INT,
    ITEMS,
    SIZE,
    STRINGS,
    TEXT,
    Flag,
    FlagError,
    HelpRequested,
    Options,
    parse,
)
from hyper.cli.pod_flags import device

FLAGS = (
    Flag("interactive", BOOL, "", short="i"),
    Flag("tty", BOOL, "", short="t"),
    Flag("proxy", BOOL, "", default=True),
    Flag("env", ITEMS, "", short="e"),
    Flag("name", TEXT, ""),
    Flag("memory", SIZE, "", short="m"),
    Flag("cpus", DECIMAL, ""),
    Flag("count", INT, "", short="n", default=-1),
    Flag("interval", DURATION, ""),
    Flag("filter", FILTER, "", short="f"),
    Flag("alias", STRINGS, ""),
)


def options(*words: str) -> Options:
    return parse(FLAGS, words)[0]


def test_letters_join_and_the_last_takes_the_rest() -> None:
    found = options("-iteA=b", "-e=C=d", "-e", "E")
    assert found.on("interactive")
    assert found.on("tty")
    assert found.items("env") == ["A=b", "C=d", "E"]


def test_a_boolean_takes_no_word() -> None:
    found, arguments = parse(FLAGS, ["--tty", "false"])
    assert found.on("tty")
    assert arguments == ["false"]


def test_a_boolean_can_be_switched_off() -> None:
    assert not options("--proxy=false").on("proxy")
    assert options().on("proxy")


def test_flags_end_at_the_first_argument_of_run() -> None:
    found, arguments = parse(FLAGS, ["-i", "image", "-t", "--name", "x"], interspersed=False)
    assert arguments == ["image", "-t", "--name", "x"]
    assert not found.on("tty")


def test_flags_may_follow_arguments_elsewhere() -> None:
    found, arguments = parse(FLAGS, ["a", "-t", "b"])
    assert found.on("tty")
    assert arguments == ["a", "b"]


def test_two_dashes_end_the_flags() -> None:
    assert parse(FLAGS, ["-i", "--", "-t", "--", "x"])[1] == ["-t", "--", "x"]


def test_a_dash_alone_is_an_argument() -> None:
    assert parse(FLAGS, ["-", "x"])[1] == ["-", "x"]


def test_values_have_units() -> None:
    found = options("-m", "256m", "--cpus", "1.5", "--interval", "1m30s", "-n", "0x10")
    assert found.number("memory") == 256 * 1024**2
    assert found.number("cpus") == 1_500_000_000
    assert found.number("interval") == 90 * 10**9
    assert found.number("count") == 16
    assert options().number("count") == -1


def test_filters_collect_by_name() -> None:
    found = options("-f", "name=a", "--filter=name=b", "-f", "label=x=y")
    assert found.filters() == {"name": ["a", "b"], "label": ["x=y"]}


def test_strings_split_at_commas() -> None:
    assert options("--alias", "a,b", "--alias", "c").items("alias") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["-ix"], "unknown shorthand flag: 'x' in -x"),
        (["-xi"], "unknown shorthand flag: 'x' in -xi"),
        (["--name"], "flag needs an argument: --name"),
        (["-ie"], "flag needs an argument: 'e' in -ie"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-m", "x"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        (
            ["--tty=maybe"],
            'invalid argument "maybe" for "-t, --tty" flag: '
            'strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            ["--cpus", "x"],
            'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number',
        ),
        (["--cpus", "0.1234567891"], "value is too precise"),
        (["-n", str(1 << 63)], "value out of range"),
        (["-f", "x"], "bad format of filter (expected name=value)"),
        (["--interval", "5"], 'time: invalid duration "5"'),
    ],
)
def test_wrong_flags_are_told_in_dockers_words(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        options(*words)
    assert message in str(caught.value)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_asked_for(word: str) -> None:
    with pytest.raises(HelpRequested):
        options(word)


def test_h_is_a_flag_where_the_table_has_it() -> None:
    found, _ = parse((Flag("hostname", TEXT, "", short="h"),), ["-h", "box"])
    assert found.text("hostname") == "box"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pci:0000:01:00.0", {"path": "0000:01:00.0"}),
        ("block:/dev/sdb", {"path": "/dev/sdb"}),
        ("block:/dev/sdb:ro", {"path": "/dev/sdb", "readOnly": True}),
        (
            "block:/dev/sdb:/dev/x:rw",
            {"path": "/dev/sdb", "readOnly": False, "target": "/dev/x"},
        ),
    ],
)
def test_a_device_of_a_pod(text: str, shown: dict[str, object]) -> None:
    assert device(text) == shown


@pytest.mark.parametrize("text", ["/dev/sdb", "pci:", "block:sdb", "block:/dev/sdb:/dev/x:/y", ""])
def test_what_is_no_device_of_a_pod(text: str) -> None:
    with pytest.raises(CommandFailed, match="is needed"):
        device(text)
