"""Quantities and names as Kubernetes reads them, and $(NAME)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.schema.kube import names
from hyper.schema.kube.expansion import escape, expand
from hyper.schema.kube.quantity import parse_quantity, show_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", Fraction(1, 10)),
        ("64Mi", Fraction(64 * 1024**2)),
        ("1e3", Fraction(1000)),
        ("1E3", Fraction(1000)),
        ("1E", Fraction(10**18)),
        ("1.5Gi", Fraction(3 * 1024**3, 2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("250n", Fraction(250, 10**9)),
        ("2k", Fraction(2000)),
        ("12e-1", Fraction(6, 5)),
        ("+3", Fraction(3)),
        ("99999999999999999999", Fraction(2**63 - 1)),
    ],
)
def test_a_quantity_means_what_kubernetes_says(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "1 Gi", "1KB", "1gi", "Mi", "1e", "0x10", "1,5", "1.2.3"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.integers(0, 2**62), st.sampled_from(["", "m", "u", "n"]))
def test_a_shown_quantity_reads_back(number: int, suffix: str) -> None:
    value = parse_quantity(f"{number}{suffix}")
    assert value is not None
    assert parse_quantity(show_quantity(value)) == value


@pytest.mark.parametrize(
    ("judge", "good", "bad"),
    [
        (names.dns_label, ["a", "my-name", "123-abc", "x" * 63], ["", "A", "-a", "a.b", "x" * 64]),
        (names.dns_subdomain, ["a.b", "x-1.y"], ["a..b", "a_b", ".a", "x" * 254]),
        (names.qualified_name, ["app", "a.b/c_D"], ["", "/a", "a/b/c", "A.b/c", "x" * 64]),
        (names.label_value, ["", "a_B.c"], ["a b", "-a", "x" * 64]),
        (names.port_name, ["http", "a1-b"], ["80", "HTTP", "a--b", "-a", "x" * 16]),
        (names.config_key, ["a.b", "K_1"], ["", "a/b", "..x", ".", "x" * 254]),
        (names.variable, ["A", "my.var-1"], ["", "a=b", "\u00e9"]),
    ],
)
def test_names(judge: object, good: list[str], bad: list[str]) -> None:
    assert callable(judge)
    assert [name for name in good if judge(name)] == []
    assert [name for name in bad if not judge(name)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(R)", "$(A)"),
        ("$()", "$()"),
    ],
)
def test_references_are_replaced_once(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "R": "$(A)"}) == expected


@given(st.text("$()AB x", max_size=20))
def test_an_escaped_text_is_left_as_it_is(text: str) -> None:
    assert expand(escape(text), {"A": "1", "B": "2"}) == text
