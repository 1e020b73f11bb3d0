"""An operator beside an environment: what `app.orders.operators` does on the environment's database."""

from __future__ import annotations

from app.orders.entry.withdrawal import Withdrawals
from app.orders.operators.halt_and_resume import HaltService
from app.orders.operators.resolution import Resolutions
from app.orders.state.audit import Actor
from tests.order_environment import OrderEnvironment

OPERATOR = Actor(principal="operator", request_id="req-1")


def operations_of(environment: OrderEnvironment) -> HaltService:
    return environment.orders.operators.halts


def resolutions_of(environment: OrderEnvironment) -> Resolutions:
    return environment.orders.operators.resolutions


def withdrawals_of(environment: OrderEnvironment) -> Withdrawals:
    return environment.orders.withdrawals
