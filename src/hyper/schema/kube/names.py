"""Owns what names may look like in Kubernetes, and its words for those that do not.

Rules: kubernetes staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go. Each function
returns what is wrong with a name, "" for nothing.
"""

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_PORT_NAME = re.compile(r"[-a-z0-9]+")


def _pattern(text: str, pattern: str, words: str, example: str) -> str:
    if re.fullmatch(pattern, text):
        return ""
    return f"{words} (e.g. {example}, regex used for validation is '{pattern}')"


def dns_label(name: str) -> str:
    """Judge the name of a container, a volume, a host."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return _pattern(
        name,
        _LABEL,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        "must start and end with an alphanumeric character",
        "'my-name',  or '123-abc'",
    )


def dns_subdomain(name: str) -> str:
    """Judge the name of an object."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return _pattern(
        name,
        _SUBDOMAIN,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character",
        "'example.com'",
    )


def qualified_name(name: str) -> str:
    """Judge the key of a label or annotation: a name, or a domain, a slash and a name."""
    prefix, slash, last = name.rpartition("/")
    if slash and dns_subdomain(prefix):
        return f"prefix part {dns_subdomain(prefix)}"
    if len(last) > 63:
        return "name part must be no more than 63 characters"
    return _pattern(
        last,
        _QUALIFIED,
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character",
        "'MyName',  or 'my.name',  or '123-abc'",
    )


def label_value(value: str) -> str:
    """Judge the value of a label."""
    if len(value) > 63:
        return "must be no more than 63 characters"
    return _pattern(
        value,
        _LABEL_VALUE,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character",
        "'MyValue',  or 'my_value',  or '12345'",
    )


def port_name(name: str) -> str:
    """Judge the name of a port (RFC 6335 as Kubernetes reads it)."""
    if len(name) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        return "must contain at least one letter (a-z)"
    if "--" in name:
        return "must not contain consecutive hyphens"
    if name[0] == "-" or name[-1] == "-":
        return "must not begin or end with a hyphen"
    return ""


def config_key(key: str) -> str:
    """Judge the key of a ConfigMap or Secret: it may become the name of a file."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in (".", "..") or key.startswith(".."):
        return f"must not be '{key}'" if key in (".", "..") else "must not start with '..'"
    return _pattern(
        key,
        _CONFIG_KEY,
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        "'key.name',  or 'KEY_NAME',  or 'key-name'",
    )


def variable(name: str) -> str:
    """Judge the name of an environment variable (relaxed, as since Kubernetes 1.34)."""
    if not name or "=" in name or not all(" " <= letter <= "~" for letter in name):
        return (
            "a valid environment variable name must consist only of printable ASCII characters "
            "other than '='"
        )
    return ""
