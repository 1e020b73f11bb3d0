"""Which connections may stay? At most so many in all and of one address, unless their client has shown a valid key.

A connection is keyless until a request or a first message on it has a valid key. Keyless ones have a bound; a newcomer
beyond it ends the one that has been waiting for its client for longest. So silent connections displace each other, and
a client that speaks at once is answered. Connections of key holders are not ended, and have a share of their own.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Protocol

DESCRIPTORS_RESERVED = 100  # for database, Redis, the broker and files
NEW_S = 0.5  # a connection younger than this is not ended for the limit of its address: many clients may start at once


class Connection(Protocol):
    """What is ended to make way for others."""

    def end(self) -> None:
        """Disconnect now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """``total`` of all kinds, ``keyless`` of those without a key, ``keyless_per_address`` of one address."""

    total: int
    keyless: int
    keyless_per_address: int

    @classmethod
    def of(cls, max_connections: int, *, descriptors: int) -> ConnectionLimits:
        """A quarter of all for keyless connections, at most 512; half of that for one address."""
        total = max(16, min(max_connections, descriptors - DESCRIPTORS_RESERVED))
        keyless = max(8, min(512, total // 4))
        return cls(total=total, keyless=keyless, keyless_per_address=keyless // 2)


class ProxyAddresses:
    """Whether an address is in a list of addresses and networks, separated by commas; ``*`` stands for all."""

    def __init__(self, listed: str) -> None:
        parts = {part.strip() for part in listed.split(",")}
        self._all = "*" in parts
        self._networks = [network for part in parts if (network := _network(part)) is not None]

    def __contains__(self, address: object) -> bool:
        network = _network(str(address))
        return self._all or (network is not None and any(network.network_address in one for one in self._networks))


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


class Place:
    """One connection's entry. ``has_key``: its client has shown a valid key; ``heard_at``: its last sign of life."""

    __slots__ = ("_places", "address", "connection", "has_key", "heard_at", "is_counted")

    def __init__(self, connection: Connection, *, address: str, places: ConnectionPlaces, now: float) -> None:
        self.connection = connection
        self.address = address
        self.has_key = False
        self.is_counted = True  # as keyless
        self.heard_at = now
        self._places = places

    def show_key(self) -> None:
        """The client has a valid key: the connection does not make way for others any more."""
        self.has_key = True
        self._places.keep(self)

    def await_client(self, now: float) -> None:
        """The connection waits for its client: silent, half a request, or an answer that the client does not read."""
        self._places.note_waiting(self, now=now)

    def work(self) -> None:
        """A request is being answered."""
        self._places.note_working(self)

    def leave(self) -> None:
        """The connection has ended."""
        self._places.remove(self)


class ConnectionPlaces:
    """All connections of this process. ``ended`` counts the ones that made way, or were refused, by reason."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._keyless: Counter[str] = Counter()
        self._waiting: dict[str, OrderedDict[Place, float]] = {}  # by address; since when, the longest first
        self._all: set[Place] = set()
        self.ended: Counter[str] = Counter()

    @property
    def keyless(self) -> int:
        """How many connections count as keyless."""
        return self._keyless.total()

    def admit(self, connection: Connection, *, address: str, limited_address: bool, now: float) -> Place | None:
        """A place for a new connection, or None where none can make way for it.

        ``limited_address`` is False for a proxy, whose connections are those of many clients.
        """
        limits = self._limits
        if self.keyless >= limits.keyless or len(self._all) >= limits.total:
            busiest = max(self._waiting, key=self._keyless.__getitem__, default=None)
            if busiest is None or not self._end_longest(busiest, before=now):
                self.ended["refused"] += 1
                return None
        elif limited_address and self._keyless[address] >= limits.keyless_per_address:
            self._end_longest(address, before=now - NEW_S)
        place = Place(connection, address=address, places=self, now=now)
        self._all.add(place)
        self._keyless[address] += 1
        self.note_waiting(place, now=now)
        return place

    def keep(self, place: Place) -> None:
        """Count a connection as a key holder's, while their share lasts; beyond it, it stays among the keyless."""
        key_holders = len(self._all) - self.keyless
        if place in self._all and place.is_counted and key_holders < self._limits.total - self._limits.keyless:
            self._uncount(place)

    def note_waiting(self, place: Place, *, now: float) -> None:
        """Put a keyless connection at the end of those that may have to make way."""
        if place in self._all and place.is_counted:
            waiting = self._waiting.setdefault(place.address, OrderedDict())
            waiting[place] = now
            waiting.move_to_end(place)

    def note_working(self, place: Place) -> None:
        """Take a connection from those that may have to make way."""
        waiting = self._waiting.get(place.address)
        if waiting is not None and waiting.pop(place, None) is not None and not waiting:
            del self._waiting[place.address]

    def remove(self, place: Place) -> None:
        """Forget a connection."""
        if place in self._all:
            self._all.remove(place)
            if place.is_counted:
                self._uncount(place)

    def _uncount(self, place: Place) -> None:
        place.is_counted = False
        self.note_working(place)
        self._keyless[place.address] -= 1
        if not self._keyless[place.address]:
            del self._keyless[place.address]

    def _end_longest(self, address: str, *, before: float) -> bool:
        """End the connection of an address that has been waiting for longest; False where none has since ``before``."""
        waiting = self._waiting.get(address)
        if not waiting:
            return False
        place, since = next(iter(waiting.items()))
        if since > before:
            return False
        self.ended["displaced"] += 1
        self.remove(place)
        place.connection.end()
        return True
