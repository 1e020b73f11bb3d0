"""Which URLs may be registered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.target import UnusableUrl, parse_target

REFUSED = [
    ("http://example.com/", "https"),
    ("ftp://example.com/", "https"),
    ("https://", "host"),
    ("https:///path", "host"),
    ("//example.com", "https"),
    ("example.com", "https"),
    ("https://user@example.com/", "user"),
    ("https://user:secret@example.com/", "user"),
    ("https://example.com@127.0.0.1/", "user"),
    ("https://example.com:22/", "port"),
    ("https://example.com:80/", "port"),
    ("https://example.com:99999/", "URL"),
    ("https://example.com/#fragment", "fragment"),
    ("https://example.com\\@127.0.0.1/", "ASCII"),
    ("https://example.com/a b", "ASCII"),
    ("https://example.com/\r\nHost: x", "ASCII"),
    ("https://exämple.com/", "punycode"),
    ("https://localhost/", "another machine"),
    ("https://a.localhost./", "another machine"),
    ("https://127.0.0.1/", "loopback"),
    ("https://[::1]/", "loopback"),
    ("https://[::ffff:10.0.0.1]/", "10.0.0.0/8"),
    ("https://169.254.169.254/latest", "169.254.0.0/16"),
    ("https://[fe80::1%25eth0]/", "scope"),
    ("https://" + "a" * 2050, "2048"),
]


@pytest.mark.parametrize(("url", "why"), REFUSED)
def test_an_unusable_url_is_refused_with_its_reason(url: str, why: str) -> None:
    """What the client reads names the part that is wrong."""
    with pytest.raises(UnusableUrl, match=why):
        parse_target(url, allow_loopback=False)


def test_a_usable_url_is_taken_apart() -> None:
    """Port, path and query; a final dot is dropped, and numbers that hide an address are left to the lookup."""
    target = parse_target("https://Hooks.Example.com.:8443/a/b?c=d", allow_loopback=False)
    assert (target.host, target.port, target.path, target.loopback) == ("hooks.example.com", 8443, "/a/b?c=d", False)
    assert parse_target("https://example.com", allow_loopback=False).path == "/"
    assert parse_target("https://2130706433/", allow_loopback=False).host == "2130706433"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/x", "http://localhost/x", "https://[::1]:1/x", "http://127.9.9.9:22/"]
)
def test_the_switch_allows_this_machine_with_any_port_and_http(url: str) -> None:
    """For development; such a target may only be connected to at loopback addresses."""
    assert parse_target(url, allow_loopback=True).loopback
    with pytest.raises(UnusableUrl):
        parse_target(url, allow_loopback=False)


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "https://127.0.0.1@example.com/"])
def test_the_switch_allows_nothing_else(url: str) -> None:
    """Other hosts keep their rules."""
    with pytest.raises(UnusableUrl):
        parse_target(url, allow_loopback=True)


@given(st.text(max_size=80))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """Nothing else is raised."""
    try:
        target = parse_target("https://" + text, allow_loopback=False)
    except UnusableUrl:
        return
    assert target.scheme == "https"
    assert target.port in {443, 8443}
    assert not target.loopback
