"""Which account's feed streams a new instrument: decided for a whole request at once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.broker.identifiers import DEFAULT_ACCOUNT
from app.errors import Conflict, NotFound, ServiceError
from app.market.subscriptions.model import DesiredStream, InstrumentKey, StreamKey, SubscriptionRequest


@dataclass(slots=True, kw_only=True)
class Allocation:
    """What is taken while a request is worked through. ``capacity`` is in instruments an account."""

    capacity: int
    loads: Counter[str]  # instruments by account, every usable account among them
    streamed_by: dict[InstrumentKey, list[str]] = field(default_factory=dict)  # accounts by instrument

    def take(self, key: InstrumentKey, account_id: str) -> None:
        """Count the instrument against the account; twice is as once."""
        accounts = self.streamed_by.setdefault(key, [])
        if account_id not in accounts:
            accounts.append(account_id)
            self.loads[account_id] += 1


def allocate(
    requests: Sequence[SubscriptionRequest],
    *,
    owner: str,
    desired: Mapping[StreamKey, DesiredStream],
    accounts: Collection[str],
    capacity: int,
    given_up: Iterable[StreamKey] = (),
) -> list[StreamKey | ServiceError]:
    """The stream of each request, or the error that says why there is none, in order.

    ``accounts`` are those that may be used. ``given_up`` are streams that ``owner`` may leave: those that no other
    owner wants and that are not requested again free their capacity, so that a set may be replaced by one as large.
    """
    allocation = Allocation(capacity=capacity, loads=Counter(dict.fromkeys(accounts, 0)))
    requested = {request.key for request in requests}
    leaving = {stream for stream in given_up if stream[1] not in requested}
    for stream, item in desired.items():
        if stream not in leaving or set(item.owners) != {owner}:
            allocation.take(stream[1], stream[0])
    return [_allocate_one(request, allocation=allocation, accounts=accounts) for request in requests]


def _allocate_one(
    request: SubscriptionRequest, *, allocation: Allocation, accounts: Collection[str]
) -> StreamKey | ServiceError:
    if request.account_id is not None and request.account_id not in accounts:
        return NotFound("account", request.account_id)
    usable = {name: allocation.loads[name] for name in accounts if request.account_id in {None, name}}
    account_id = choose_account(
        allocation.streamed_by.get(request.key, ()),
        loads=usable,
        preferred=DEFAULT_ACCOUNT,
        capacity=allocation.capacity,
    )
    if account_id is None:
        return Conflict(
            f"{request.instrument.key}: the limit of {allocation.capacity} instruments an account is reached",
            code="SUBSCRIPTION_LIMIT",
        )
    allocation.take(request.key, account_id)
    return account_id, request.key


def choose_account(
    streamed_by: Iterable[str], *, loads: Mapping[str, int], preferred: str, capacity: int
) -> str | None:
    """The one that streams the instrument already, then ``preferred``, then the one with the fewest instruments.

    ``loads`` is instruments by account, every account that may be used among them. None: all of them are full.
    """
    for account_id in streamed_by:
        if account_id in loads:
            return account_id
    if preferred in loads and loads[preferred] < capacity:
        return preferred
    emptiest = min(loads, key=lambda account_id: (loads[account_id], account_id), default=None)
    return emptiest if emptiest is not None and loads[emptiest] < capacity else None
