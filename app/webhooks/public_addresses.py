"""Which addresses may a webhook be sent to? Public ones alone, by a list of our own: everything else is refused.

``ipaddress.is_global`` is no such list: it changes between Python's versions, and calls addresses global that lead into
a private network (NAT64, 6to4) or to the metadata of a cloud.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_PUBLIC_6 = IPv6Network("2000::/3")
_REFUSED: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("0.0.0.0/8"),  # this network
    IPv4Network("10.0.0.0/8"),  # private
    IPv4Network("100.64.0.0/10"),  # shared by customers of a carrier
    IPv4Network("127.0.0.0/8"),  # loopback
    IPv4Network("168.63.129.16/32"),  # Azure's host
    IPv4Network("169.254.0.0/16"),  # link-local, the metadata of most clouds
    IPv4Network("172.16.0.0/12"),  # private
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.31.196.0/24"),  # AS112
    IPv4Network("192.52.193.0/24"),  # AMT
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("192.168.0.0/16"),  # private
    IPv4Network("192.175.48.0/24"),  # AS112
    IPv4Network("198.18.0.0/15"),  # benchmarks
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, broadcast
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise
    IPv6Network("2620:4f:8000::/48"),  # AS112
    IPv6Network("3fff::/20"),  # documentation
)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one where IPv6 only wraps it (``::ffff:10.0.0.1``); None for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is None and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def refusal(text: str, *, loopback: bool = False) -> str | None:
    """Why nothing may be sent to this literal address; None where it may. ``loopback`` allows this machine too."""
    address = parse_address(text)
    if address is None:
        return "is not an address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "has a scope"
    if is_loopback(text):
        return None if loopback else "is loopback"
    if isinstance(address, IPv6Address) and address not in _PUBLIC_6:
        return f"is outside of {_PUBLIC_6}"
    for network in _REFUSED:
        if address.version == network.version and address in network:
            return f"is in {network}"
    return None


def is_loopback(text: str) -> bool:
    """Whether the literal address is this machine's own."""
    address = parse_address(text)
    return address is not None and any(
        address.version == network.version and address in network for network in _LOOPBACK
    )
