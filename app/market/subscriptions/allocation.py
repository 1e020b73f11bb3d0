"""Which account streams a new instrument: decided for a whole request at once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.broker.identifiers import DEFAULT_ACCOUNT
from app.broker.market import Instrument, Mode
from app.errors import Conflict, NotFound, ServiceError
from app.market.subscriptions.desired_state import Desired, Key, Place, choose_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One item of a request. ``account_id`` None: the service chooses."""

    instrument: Instrument
    mode: Mode
    account_id: str | None = None

    @property
    def key(self) -> Key:
        return self.instrument.exchange, self.instrument.tradingsymbol


@dataclass(slots=True, kw_only=True)
class Room:
    """What is taken while a request is placed: instruments by account, and accounts by instrument."""

    capacity: int
    loads: Counter[str]
    holders: dict[Key, list[str]] = field(default_factory=dict)

    def take(self, key: Key, account_id: str) -> None:
        held = self.holders.setdefault(key, [])
        if account_id not in held:
            held.append(account_id)
            self.loads[account_id] += 1


def place_wishes(
    wishes: Sequence[Wish],
    *,
    owner: str,
    desired: Mapping[Place, Desired],
    accounts: Collection[str],
    capacity: int,
    given_up: Iterable[Place] = (),
) -> list[Place | ServiceError]:
    """The place of each wish, or the error that says why there is none, in order.

    ``given_up`` are places that ``owner`` may leave; those that nobody else wants and that are not wished for again
    make room.
    """
    room = Room(capacity=capacity, loads=Counter(dict.fromkeys(accounts, 0)))
    wished = {wish.key for wish in wishes}
    leaving = {place for place in given_up if place[1] not in wished}
    for place, item in desired.items():
        if place not in leaving or set(item.owners) != {owner}:
            room.take(place[1], place[0])
    return [_place(wish, room=room, accounts=accounts) for wish in wishes]


def _place(wish: Wish, *, room: Room, accounts: Collection[str]) -> Place | ServiceError:
    if wish.account_id is not None and wish.account_id not in accounts:
        return NotFound("account", wish.account_id)
    usable = {name: room.loads[name] for name in accounts if wish.account_id in {None, name}}
    account_id = choose_account(
        room.holders.get(wish.key, ()), loads=usable, preferred=DEFAULT_ACCOUNT, capacity=room.capacity
    )
    if account_id is None:
        return Conflict(
            f"{wish.instrument.key}: the limit of {room.capacity} instruments an account is reached",
            code="SUBSCRIPTION_LIMIT",
        )
    room.take(wish.key, account_id)
    return account_id, wish.key
