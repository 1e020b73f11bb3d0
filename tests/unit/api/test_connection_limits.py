"""Which connections make way for others: those without a key that wait for their client, the longest first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.connection_limits import NEW_S, ConnectionLimits, ConnectionPlaces, Place, ProxyAddresses

LIMITS = ConnectionLimits(total=12, keyless=6, keyless_per_address=3)


@dataclass(eq=False)
class Connection:
    name: str
    ended: bool = False

    def end(self) -> None:
        self.ended = True


def opened(
    places: ConnectionPlaces, *, address: str = "a", now: float, proxy: bool = False
) -> tuple[Connection, Place]:
    connection = Connection(f"{address} at {now}")
    place = places.admit(connection, address=address, limited_address=not proxy, now=now)
    assert place is not None
    return connection, place


def test_the_one_that_is_silent_for_longest_makes_way() -> None:
    """A newcomer is always admitted; of one address at most three stay."""
    places = ConnectionPlaces(LIMITS)
    connections = [opened(places, now=float(second))[0] for second in range(5)]
    assert [one.ended for one in connections] == [True, True, False, False, False]
    assert places.ended["displaced"] == 2


def test_clients_that_start_together_stay() -> None:
    """Many programs of one address may connect in the same moment; the limit in all ends the oldest of them even so."""
    places = ConnectionPlaces(LIMITS)
    connections = [opened(places, now=NEW_S / 10)[0] for _ in range(7)]
    assert [one.ended for one in connections] == [True] + [False] * 6


def test_the_busiest_address_makes_way_for_the_others() -> None:
    """A client of another address is not ended for the many connections of one."""
    places = ConnectionPlaces(LIMITS)
    quiet, _ = opened(places, address="quiet", now=0.0)
    many = [opened(places, address="many", now=1.0, proxy=True)[0] for _ in range(5)]
    opened(places, address="new", now=2.0)
    assert not quiet.ended
    assert many[0].ended


def test_a_connection_with_a_key_makes_way_for_none() -> None:
    """Whatever comes after it; it does not count against its address either."""
    places = ConnectionPlaces(LIMITS)
    holder, place = opened(places, now=0.0)
    place.show_key()
    for second in range(1, 20):
        opened(places, now=float(second))
    assert not holder.ended
    assert places.keyless == 3


def test_holders_of_a_key_leave_the_share_of_the_others() -> None:
    """Beyond their own share they count as keyless: probes always find a place."""
    places = ConnectionPlaces(LIMITS)
    holders = [opened(places, address=str(n), now=float(n)) for n in range(6)]
    for _, place in holders:
        place.show_key()
    more = [opened(places, address=f"more {n}", now=10.0 + n) for n in range(2)]
    for _, place in more:
        place.show_key()
    assert places.keyless == 2
    assert all(place.has_key for _, place in more)
    for n in range(6):
        opened(places, address=f"probe {n}", now=20.0 + n)
    assert [one.ended for one, _ in holders + more] == [False] * 6 + [True, True]


def test_a_request_under_way_is_answered() -> None:
    """A connection that works for its client does not make way; where all of them work, the newcomer is refused."""
    places = ConnectionPlaces(LIMITS)
    busy = [opened(places, address=str(n), now=0.0) for n in range(6)]
    for _, place in busy:
        place.work()
    assert places.admit(Connection("late"), address="late", limited_address=True, now=1.0) is None
    busy[3][1].await_client(2.0)
    assert places.admit(Connection("later"), address="late", limited_address=True, now=3.0) is not None
    assert [one.ended for one, _ in busy] == [False, False, False, True, False, False]


def test_the_connections_of_a_proxy_are_those_of_many_clients() -> None:
    """The limit of an address does not hold for them, the limit in all does."""
    places = ConnectionPlaces(LIMITS)
    through = [opened(places, address="proxy", now=float(n), proxy=True)[0] for n in range(7)]
    assert [one.ended for one in through] == [True] + [False] * 6


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["open", "key", "work", "wait", "leave"])), max_size=60))
def test_the_limits_hold_whatever_happens(steps: list[tuple[int, str]]) -> None:
    """No order of events exceeds a limit, and every connection that ended is forgotten."""
    places = ConnectionPlaces(LIMITS)
    held: list[tuple[Connection, Place]] = []
    for now, (number, what) in enumerate(steps):
        if what == "open":
            connection = Connection(str(now))
            place = places.admit(connection, address=str(number), limited_address=True, now=float(now))
            if place is not None:
                held.append((connection, place))
        elif held:
            _, place = held[number % len(held)]
            match what:
                case "key":
                    place.show_key()
                case "work":
                    place.work()
                case "wait":
                    place.await_client(float(now))
                case "leave":
                    place.leave()
                    held.remove(held[number % len(held)])
        held = [(connection, place) for connection, place in held if not connection.ended]
        keyless = [place for _, place in held if place.is_counted]
        assert places.keyless == len(keyless) <= LIMITS.keyless
        assert len(held) <= LIMITS.total


@pytest.mark.parametrize(
    ("wanted", "descriptors", "total", "keyless", "per_address"),
    [(2000, 1_000_000, 2000, 500, 250), (100_000, 1_000_000, 100_000, 512, 256), (2000, 256, 156, 39, 19)],
)
def test_the_limit_of_open_files_lowers_the_others(
    wanted: int, descriptors: int, total: int, keyless: int, per_address: int
) -> None:
    """Database, Redis and broker keep their share of a small limit."""
    expected = ConnectionLimits(total=total, keyless=keyless, keyless_per_address=per_address)
    assert ConnectionLimits.of(wanted, descriptors=descriptors) == expected


def test_proxies_are_addresses_and_networks() -> None:
    """As uvicorn reads the same setting."""
    proxies = ProxyAddresses("10.0.0.0/8, 192.0.2.7,::1")
    assert [one in proxies for one in ("10.1.2.3", "192.0.2.7", "::1", "192.0.2.8", "unknown")] == [True] * 3 + [
        False
    ] * 2
    assert "1.2.3.4" in ProxyAddresses("*")
    assert "1.2.3.4" not in ProxyAddresses("")
