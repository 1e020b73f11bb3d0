"""Builds the loops of one account for one lease term."""

from __future__ import annotations

from dataclasses import dataclass

from app.broker.port import Governor
from app.orders.batches.finisher import ExitFinisher
from app.orders.batches.runner import BatchRunner
from app.orders.reconciliation.reconciler import Reconciler
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claims import Claims
from app.orders.sending.held_tasks import Holds
from app.orders.sending.outcome_writer import OutcomeWriter
from app.orders.sending.price_guard import PriceGuard
from app.orders.sending.sender import Sender
from app.orders.sending.transmission import Transmission
from app.orders.state.order_parts import AccountParts


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLoops:
    """The loops of a term, and the steps of the sender. Nothing runs before ``run`` of a loop is called."""

    term: int  # of the lease under which they run
    sender: Sender  # sends tasks
    reconciler: Reconciler  # reads the order book
    batches: BatchRunner  # advances batches
    exits: ExitFinisher  # finishes exits
    breakers: AccountBreakers  # which operations are stopped because requests fail
    claims: Claims  # the sender's first step: claim a task
    transmission: Transmission  # the second: send one request
    outcomes: OutcomeWriter  # the third: store the outcome


def build_account_loops(parts: AccountParts, *, governor: Governor) -> AccountLoops:
    """The loops of one term. Each term starts with closed breakers."""
    breakers = AccountBreakers(
        parts.account_id,
        limits=parts.settings.breaker,
        reads=parts.read_counters,
        wakeups=parts.wakeups,
        clock=parts.clock,
    )
    claims = Claims(parts, breakers=breakers, prices=PriceGuard(parts))
    transmission = Transmission(parts, governor=governor, breakers=breakers)
    outcomes = OutcomeWriter(parts)
    sender = Sender(
        parts,
        governor=governor,
        breakers=breakers,
        holds=Holds(parts, breakers=breakers),
        claims=claims,
        transmission=transmission,
        outcomes=outcomes,
    )
    return AccountLoops(
        term=parts.term.lease.term,
        sender=sender,
        reconciler=Reconciler(parts, governor=governor),
        batches=BatchRunner(parts),
        exits=ExitFinisher(parts),
        breakers=breakers,
        claims=claims,
        transmission=transmission,
        outcomes=outcomes,
    )
