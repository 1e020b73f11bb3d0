"""SQL of the statuses about accounts: written by each account's owner, read by every replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg.types.json import Jsonb

from app.db.leases import HELD_BY_TERM, Lease
from app.db.postgres import Tx
from app.orders.state.trading_reasons import UNCONFIRMED_S, ConfirmedStatus, Reason, TradingStatus


async def write_status(
    tx: Tx, account_id: str, *, reasons: Sequence[Reason], detail: Mapping[str, str], lease: Lease
) -> None:
    """Store the owner's answer; nothing happens when its term is over.

    ``since`` stays while the account can trade, or cannot, without a gap: also from one owner to the next.
    """
    await tx.execute(
        f"""INSERT INTO trading_status AS s (account_id, term, reasons, detail, since, written_at)
            SELECT %(account_id)s, %(lease_term)s, %(reasons)s, %(detail)s, now, now FROM clock_timestamp() AS now
            WHERE {HELD_BY_TERM}
            ON CONFLICT (account_id) DO UPDATE SET term = excluded.term, reasons = excluded.reasons,
              detail = excluded.detail, written_at = excluded.written_at,
              since = CASE WHEN (s.reasons = '{{}}') = (excluded.reasons = '{{}}')
                             AND s.written_at > excluded.written_at - make_interval(secs => %(unconfirmed_s)s)
                           THEN s.since ELSE excluded.since END""",
        {
            "account_id": account_id,
            "reasons": [reason.value for reason in reasons],
            "detail": Jsonb(dict(detail)),
            "unconfirmed_s": UNCONFIRMED_S,
            **lease.guard,
        },
    )


async def read_statuses(tx: Tx) -> dict[str, ConfirmedStatus]:
    """The newest answer of each account that ever had an owner, by account."""
    cursor = await tx.execute(
        """SELECT account_id, reasons, detail, since, written_at,
             extract(epoch FROM clock_timestamp() - written_at)::float8 FROM trading_status"""
    )
    return {
        row[0]: ConfirmedStatus(
            status=TradingStatus(
                account_id=row[0],
                reasons=tuple(Reason(name) for name in row[1]),
                detail=row[2],
                since=row[3],
            ),
            written_at=row[4],
            age_s=row[5],
        )
        for row in await cursor.fetchall()
    }
