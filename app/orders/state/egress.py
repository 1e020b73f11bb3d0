"""From which address this replica's orders reach the broker, and which replicas may send an account's orders.

Kite takes orders only from addresses that are registered for the app. A process cannot see the address behind which it
is: the operator gives it. Without it the replica counts as one with an address of its own, about which only the
broker's answers are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.orders.state.engine_settings import EngineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Where this replica's orders leave. ``replica`` is its name as the owner of leases."""

    replica: str
    address: str  # as the broker sees it; a text that names the replica when that is not known
    listed: bool  # ``ALLOWED_EGRESS_IPS`` names it, or is not set
    live_s: float  # another replica that has not announced itself for this long takes no account

    @property
    def unclaimed_s(self) -> float:
        """Seconds. An account that nobody takes for so long is halted, and goes to one whose address was refused."""
        return 3 * self.live_s

    @classmethod
    def of(cls, settings: EngineSettings, *, replica: str) -> Egress:
        """That of the process which owns leases as ``replica``."""
        allowed, given = settings.allowed_egress_ips, settings.egress_ip
        return cls(
            replica=replica,
            address=given or f"not known, of {replica}",
            listed=not allowed or given in allowed,
            live_s=settings.replica_live_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A running replica, and whether it may send for one account."""

    account_id: str
    replica: str
    address: str
    listed: bool
    accepted_at: datetime | None  # since when the broker has taken orders from the address, if it has
    refused_until: datetime | None  # a refusal of the broker keeps it from sending until then; None: it does not
    message: str | None  # the broker's, of that refusal
    is_owner: bool  # of the account, now

    @property
    def may_send(self) -> bool:
        """Whether the replica may own the account and send its orders."""
        return self.refused_until is None and (self.listed or self.accepted_at is not None)

    @property
    def why(self) -> str:
        """A sentence for an operator."""
        if self.refused_until is not None:
            return f"the broker refused the address: {self.message}"
        if self.accepted_at is not None:
            return "the broker has accepted the address"
        return "nothing is known against the address" if self.listed else "ALLOWED_EGRESS_IPS does not name the address"
