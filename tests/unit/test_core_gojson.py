"""JSON objects are read as Go reads them."""

import pytest

from hyper.core.gojson import GoObject, joined, loads, text


def test_a_field_is_found_in_any_case_an_exact_name_first() -> None:
    found = loads(
        b'{"detachKeys": "ctrl-p", "TTY": false, "Tty": true, "Labels": {"a": 1, "A": 2}}'
    )
    assert isinstance(found, GoObject)
    assert found.get("DetachKeys") == "ctrl-p"
    assert found.get("Tty") is True
    assert found.get("Nothing") is None and found.get("Nothing", 7) == 7
    assert dict(found["Labels"]) == {"a": 1, "A": 2}


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError):
        loads(b"{")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\udcff\ud83d x"', "\ufffd\ufffd x"),
        (rb'"\uD83D\uD83D\uDE00"', "\ufffd\U0001f600"),
        (rb'"\\ud800 \\\ud800"', "\\ud800 \\\ufffd"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
    ],
)
def test_what_is_not_unicode_is_replaced(data: bytes, value: str) -> None:
    assert loads(data) == value
    assert loads(b"{" + data + b":1}") == {value: 1}


def test_text_without_such_escapes_stays_as_it_is() -> None:
    assert text('{"a": "\\u00fc\\n"}') == '{"a": "\\u00fc\\n"}'


def test_halves_of_a_pair_are_joined() -> None:
    assert joined("a\ud83d\ude00\ud83d") == "a\U0001f600\ufffd"
