"""The names of everything in Redis: what writes there and what reads there take them from here.

{prefix}ticks:{instrument_token}   channel   one tick as JSON
{prefix}last                       hash      by instrument token, its last tick as JSON
{prefix}orders:{account_id}        channel   one event of the account's log, a hint to read the log
{prefix}events                     channel   feeds that went silent or came back, changed subscriptions
{prefix}limit...                   keys      request counts that the replicas share
{prefix}database:{deployment}      key       which database the deployment had last, to notice an older copy
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """``prefix`` is the setting ``REDIS_PREFIX``, which keeps deployments on one Redis apart: ``ticker:``."""

    prefix: str

    @property
    def last_ticks(self) -> str:
        """The hash of last ticks."""
        return f"{self.prefix}last"

    @property
    def market_events(self) -> str:
        """The channel of feed and subscription events."""
        return f"{self.prefix}events"

    def database_record(self, deployment: str) -> str:
        """The key of what is remembered of the database of this deployment."""
        return f"{self.prefix}database:{deployment}"

    @property
    def request_limits(self) -> str:
        """What the keys of shared request counts begin with."""
        return f"{self.prefix}limit"

    def ticks(self, instrument_token: int | str) -> str:
        """The channel of one instrument's ticks; with a glob in place of the token, a pattern of such channels."""
        return f"{self.prefix}ticks:{instrument_token}"

    def token_of(self, channel: str) -> int:
        """The instrument of a channel of ``ticks``."""
        return int(channel.removeprefix(self.ticks("")))

    def orders(self, account_id: str) -> str:
        """The channel of one account's order events."""
        return f"{self.prefix}orders:{account_id}"

    def account_of(self, channel: str) -> str:
        """The account of a channel of ``orders``."""
        return channel.removeprefix(self.orders(""))
