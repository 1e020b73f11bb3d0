"""Public addresses may be used, and no others: literal by literal, and each network as a whole."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.public_addresses import refusal

REFUSED = [
    "0.0.0.0",  # noqa: S104 - an address to refuse, nothing is bound to it
    "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.31.196.1",
    "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:100.64.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:1::1", "2001:2::1", "2001:20::1", "2001:db8::1",
    "2002:a9fe:a9fe::", "2002:7f00:1::", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1",
    "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "", "1.2.3.4.5", "8.8.8.8/32", "[::1]",
]  # fmt: skip
ALLOWED = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1",
           "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2400::1", "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Also in the forms that hide another one, and texts that are none."""
    assert refusal(address) is not None


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    """Right beside the refused networks too."""
    assert refusal(address) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_allowed_by_the_switch_alone(address: str) -> None:
    """And the switch allows nothing else."""
    assert refusal(address, loopback=True) is None
    assert refusal(address) is not None


@pytest.mark.parametrize("address", [one for one in REFUSED if not one.endswith("127.0.0.1")])
def test_the_switch_opens_no_other_network(address: str) -> None:
    """Private networks, link-local and the metadata stay refused."""
    if address not in {"127.8.8.8", "::1"}:
        assert refusal(address, loopback=True) is not None


@given(st.ip_addresses())
def test_no_private_address_is_allowed(address: IPv4Address | IPv6Address) -> None:
    """Whatever the standard library calls not public, we refuse too."""
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert refusal(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_an_address_mapped_into_ipv6_is_the_same_address(address: IPv4Address) -> None:
    """``::ffff:a.b.c.d`` is allowed exactly where ``a.b.c.d`` is."""
    assert refusal(f"::ffff:{address}") == refusal(str(address))


@given(st.sampled_from(["64:ff9b::/96", "2002::/16", "2001::/32", "fc00::/7", "fe80::/10"]), st.integers(min_value=0))
def test_no_translated_or_local_address_is_allowed(network: str, offset: int) -> None:
    """Whatever IPv4 address stands in it."""
    net = IPv6Network(network)
    assert refusal(str(net[offset % net.num_addresses])) is not None


@given(st.text(max_size=50))
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing raises, and only addresses are allowed."""
    if refusal(text) is None:
        ip_address(text)


def test_every_private_network_of_ipv4_is_refused_at_both_ends() -> None:
    """The first and the last address of each."""
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "224.0.0.0/4"):
        net = IPv4Network(network)
        assert refusal(str(net[0])) is not None
        assert refusal(str(net[-1])) is not None
