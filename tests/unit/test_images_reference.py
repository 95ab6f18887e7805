"""Names of images mean what they mean to Docker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.core.errors import InvalidArgument
from hyper.images import reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("a/b", "docker.io/a/b", "a/b"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("127.0.0.1:5000/x:y", "127.0.0.1:5000/x:y", "127.0.0.1:5000/x:y"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("ghcr.io/a__b/c--d.e", "ghcr.io/a__b/c--d.e", "ghcr.io/a__b/c--d.e"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
    ],
)
def test_names_are_normalised_and_shown_as_docker_does(text: str, full: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert (str(parsed), parsed.familiar()) == (full, familiar)
    assert reference.parse(full) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("x:", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("x:-a", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("../x", "invalid reference format"),
        ("a_/b", "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("Busybox", "must be lowercase"),
        ("a" * 256, "not be more than 255 characters"),
        ("ab" * 32, "cannot specify 64-byte hexadecimal strings"),
        ("x@sha512:" + "ab" * 64, "unsupported digest algorithm: sha512"),
    ],
)
def test_impossible_names_are_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        reference.parse(text)


def test_a_name_without_tag_and_digest_means_latest() -> None:
    assert reference.parse("x").tagged().tag == "latest"
    assert reference.parse(f"x@{DIGEST}").tagged().tag == ""


def test_a_digest_is_no_name_to_give() -> None:
    with pytest.raises(InvalidArgument, match="refusing to create a tag"):
        reference.parse_tag(f"x@{DIGEST}")


@given(st.text(max_size=80))
def test_any_text_is_refused_or_survives_a_round_trip(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except InvalidArgument:
        return
    assert reference.parse(str(parsed)) == parsed
    assert reference.parse(parsed.familiar()) == parsed
    assert ".." not in parsed.path.split("/") and not parsed.path.startswith("/")
