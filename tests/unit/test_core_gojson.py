"""JSON objects are read as Go reads them."""

import pytest

from hyper.core.gojson import GoObject, loads


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
