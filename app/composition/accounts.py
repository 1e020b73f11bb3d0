"""Builds logins: a new token is followed by the account's feed and by its orders."""

from __future__ import annotations

from collections.abc import Mapping

from app.accounts.login_check import LoginCheck
from app.accounts.logins import Logins, SessionListener
from app.accounts.token_proofs import TokenProofs
from app.composition.parts import Accounts, Process, RunningFeed
from app.orders.state.alarms import Alarm
from app.orders.state.order_parts import OrderParts


class SessionFanout:
    """A new token: the feed connects without waiting for its next try, held orders may go."""

    def __init__(self, feeds: Mapping[str, RunningFeed], *, orders: SessionListener) -> None:
        self._feeds = feeds
        self._orders = orders

    def on_session_changed(self, account_id: str) -> None:
        self._feeds[account_id].reconnect_soon()
        self._orders.on_session_changed(account_id)


class SharedLoginAlarm:
    """Raises the alarm of an account that has the login of another one."""

    def __init__(self, parts: OrderParts) -> None:
        self._parts = parts

    async def __call__(self, account_id: str, *, other: str, user_id: str) -> None:
        async with self._parts.database.transaction() as tx:
            await self._parts.settlement.raise_alarm(
                tx,
                Alarm.LOGIN_SHARED,
                account_id=account_id,
                alarm_id=self._parts.ids.uuid(),
                subject=user_id,
                data={"account_id": other, "user_id": user_id},
            )


def build_logins(process: Process, accounts: Accounts, *, listener: SessionListener, parts: OrderParts) -> Logins:
    """``listener`` learns of logins and log-outs, here and at other replicas; ``parts`` keep the alarms."""
    gateways = {account_id: broker.session for account_id, broker in accounts.brokers.items()}
    return Logins(
        accounts.sessions,
        stored=accounts.stored_sessions,
        check=LoginCheck(
            accounts.sessions,
            portfolios={account_id: broker.portfolio for account_id, broker in accounts.brokers.items()},
            report=SharedLoginAlarm(parts),
            clock=process.clock,
        ),
        proofs=TokenProofs(accounts.sessions, gateways=gateways, clock=process.clock),
        gateways=gateways,
        listener=listener,
        clock=process.clock,
    )
