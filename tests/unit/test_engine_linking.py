"""What --link says in /etc/hosts and in DNS (variables and messages: transcripts/links.txt)."""

import pytest

from hyper.core.errors import InvalidArgument, Unsupported
from hyper.core.spec import LinkSpec
from hyper.engine.linking import with_address
from hyper.schema.networks import read_endpoint, read_links, show_links

_HOSTS = (
    "127.0.0.1\tlocalhost\n10.0.0.2\tdata db-host db\n10.0.0.2\tdata2 db\n# mine\n10.0.0.3\tweb"
)


def test_only_the_line_of_the_alias_gets_the_new_address() -> None:
    assert with_address(_HOSTS, "data", "10.0.0.9") == _HOSTS.replace(
        "10.0.0.2\tdata ", "10.0.0.9\tdata "
    )
    assert with_address(_HOSTS, "nosuch", "10.0.0.9") == _HOSTS
    assert with_address("10.0.0.2\tdata\n", "data", "10.0.0.9") == "10.0.0.9\tdata\n"


def test_the_line_of_a_removed_link_goes() -> None:
    assert with_address(_HOSTS, "data2", "") == _HOSTS.replace("10.0.0.2\tdata2 db\n", "")


def test_links_are_read_in_each_of_dockers_forms() -> None:
    links = read_links(["db", "db:data", "/db:/web/data"], "Links")
    assert links == (LinkSpec("db", "db"), LinkSpec("db", "data"), LinkSpec("db", "data"))
    assert show_links(links[:2]) == ["db:db", "db:data"]
    assert show_links((LinkSpec("0" * 64, "data", "db"),), "web") == ["/db:/web/data"]
    with pytest.raises(InvalidArgument, match="bad format for links: a:b:c"):
        read_links(["a:b:c"], "Links")
    with pytest.raises(InvalidArgument, match="empty string specified for links"):
        read_links([""], "Links")


def test_a_link_of_an_endpoint_on_the_default_network_is_refused() -> None:
    with pytest.raises(Unsupported, match="linked when it is created"):
        read_endpoint("bridge", {"Links": ["db:data"]}, "EndpointConfig")
