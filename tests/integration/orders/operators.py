"""An operator beside a desk: what `app.orders.operators` does on the desk's database."""

from __future__ import annotations

from app.orders.entry.withdrawal import Withdrawals
from app.orders.operators.halt_and_resume import HaltService
from app.orders.operators.resolution import Resolutions
from app.orders.state.audit import Actor
from tests.desk import Desk

OPERATOR = Actor(principal="operator", request_id="req-1")


def operations_of(desk: Desk) -> HaltService:
    return desk.orders.operators.halts


def resolutions_of(desk: Desk) -> Resolutions:
    return desk.orders.operators.resolutions


def withdrawals_of(desk: Desk) -> Withdrawals:
    return desk.orders.withdrawals
