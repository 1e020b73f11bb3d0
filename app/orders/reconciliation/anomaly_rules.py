"""Which rows of the order book an operator must look at, because no task of this service explains them. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.broker.orders import BrokerOrder
from app.orders.reconciliation.doubt_rules import field_mismatch, time_mismatch
from app.orders.state.completeness import makes_several
from app.orders.state.model import Task
from app.orders.state.tags import TAG_LENGTH, tags_of


def look_alikes(task: Task, book: Sequence[BrokerOrder], *, clock_offset_s: float = 0.0) -> list[BrokerOrder]:
    """Rows without any tag that could be the missing order: an operator compares them, no task adopts them."""
    wanted = task.order
    return [
        row
        for row in book
        if not tags_of(row) and not field_mismatch(wanted, row) and row.quantity == wanted.quantity
        and (row.order_timestamp is None or not time_mismatch(task, [row], clock_offset_s=clock_offset_s))
    ]  # fmt: skip


def doubles(book: Sequence[BrokerOrder], owners: Mapping[str, Task]) -> list[tuple[Task, BrokerOrder]]:
    """Rows under the tag of a task that has another order: only slices may share a tag. ``owners``: by tag base."""
    return [
        (task, row)
        for row in book
        for tag in tags_of(row)
        if (task := owners.get(tag_base_of(tag))) is not None
        and task.order_id not in {None, row.order_id}
        and not makes_several(task.order)
    ]


def unknown_tags(
    book: Sequence[BrokerOrder], *, deployment: str, known_tag_bases: Iterable[str]
) -> list[tuple[BrokerOrder, str]]:
    """Rows with a tag of this deployment that belongs to none of these tasks, each with that tag."""
    known = set(known_tag_bases)
    return [
        (row, tag)
        for row in book
        for tag in sorted(tags_of(row))
        if len(tag) == TAG_LENGTH and tag.startswith(deployment) and tag_base_of(tag) not in known
    ]


def tag_base_of(tag: str) -> str:
    """A tag of this service without its attempt's digit."""
    return tag[: TAG_LENGTH - 1]
