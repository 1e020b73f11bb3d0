"""Builds logins: a new token is followed by the account's feed and by its orders."""

from __future__ import annotations

from collections.abc import Mapping

from app.accounts.logins import Logins, SessionListener
from app.composition.parts import Accounts, Process, RunningFeed


class SessionFanout:
    """A new token: the feed connects without waiting for its next try, held orders may go."""

    def __init__(self, feeds: Mapping[str, RunningFeed], *, orders: SessionListener) -> None:
        self._feeds = feeds
        self._orders = orders

    def on_session_changed(self, account_id: str) -> None:
        self._feeds[account_id].reconnect_soon()
        self._orders.on_session_changed(account_id)


def build_logins(process: Process, accounts: Accounts, *, listener: SessionListener) -> Logins:
    """``listener`` learns of logins and log-outs, here and at other replicas."""
    return Logins(
        accounts.sessions,
        stored=accounts.stored_sessions,
        gateways={account_id: broker.session for account_id, broker in accounts.brokers.items()},
        listener=listener,
        clock=process.clock,
    )
