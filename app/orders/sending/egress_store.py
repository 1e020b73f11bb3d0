"""SQL of egress addresses: which replicas run, from where they send, and what the broker said of each address.

All times are the database's. ``may_own`` decides which replica may own an account.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.risk.halts import ALL_ACCOUNTS
from app.orders.state.attempt_outcomes import AttemptOutcome
from app.orders.state.egress import Candidate, Egress

_FORGOTTEN_AFTER = "interval '1 day'"

_QUALIFIES = """(r.listed OR e.accepted_at IS NOT NULL) AND coalesce(e.refused_until <= clock_timestamp(), true)"""
"""Of a replica ``r``, with what is known of its address for the account, ``e``, if anything is."""

_LIVES = "r.seen_at > clock_timestamp() - make_interval(secs => %(live_s)s)"

_UNCLAIMED = "l.expires_at < clock_timestamp() - make_interval(secs => %(unclaimed_s)s)"
"""Of an account's lease ``l``: nobody has taken it for so long, although replicas run that may."""

_ANOTHER_QUALIFIES = f"""(EXISTS (
  SELECT 1 FROM sender_replica r
  LEFT JOIN egress_address e ON e.account_id = %(account_id)s AND e.address = r.address
  WHERE r.replica <> %(replica)s AND {_LIVES} AND {_QUALIFIES})
  AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.name = 'sender:' || %(account_id)s AND {_UNCLAIMED}))"""


async def announce(tx: Tx, egress: Egress) -> None:
    """Say that this replica runs."""
    await tx.execute(
        """INSERT INTO sender_replica (replica, address, listed, seen_at) VALUES (%s, %s, %s, clock_timestamp())
           ON CONFLICT (replica) DO UPDATE SET seen_at = excluded.seen_at""",
        (egress.replica, egress.address, egress.listed),
    )


async def forget_old(tx: Tx) -> None:
    """Forget replicas and refusals that are long over."""
    await tx.execute(f"DELETE FROM sender_replica WHERE seen_at < clock_timestamp() - {_FORGOTTEN_AFTER}")
    await tx.execute(
        f"""DELETE FROM egress_address
            WHERE accepted_at IS NULL AND refused_until < clock_timestamp() - {_FORGOTTEN_AFTER}"""
    )


async def depart(tx: Tx, replica: str) -> None:
    """The replica will own no account from now on."""
    await tx.execute("DELETE FROM sender_replica WHERE replica = %s", (replica,))


async def may_own(tx: Tx, account_id: str, egress: Egress) -> bool:
    """Whether this replica may take the account's lease.

    One whose address the broker refused lately may not while another running replica could send, and does take
    accounts. Where none does, it may once the account is halted: nothing but cancels is sent then, and the order book
    is read on.
    """
    cursor = await tx.execute(
        f"""SELECT (%(listed)s OR e.accepted_at IS NOT NULL)
              AND (coalesce(e.refused_until <= clock_timestamp(), true)
                OR (NOT {_ANOTHER_QUALIFIES} AND EXISTS (
                  SELECT 1 FROM kill_switch k WHERE k.scope IN ('*', %(account_id)s) AND k.mode = 'halt')))
            FROM (SELECT 1) AS one
            LEFT JOIN egress_address e ON e.account_id = %(account_id)s AND e.address = %(address)s""",
        _params(account_id, egress),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def another_may_send(tx: Tx, account_id: str, egress: Egress) -> bool:
    """Whether a running replica with another address may send for the account."""
    cursor = await tx.execute(f"SELECT {_ANOTHER_QUALIFIES}", _params(account_id, egress))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def is_refused(tx: Tx, account_id: str, egress: Egress) -> bool:
    """Whether a refusal of this replica's address still keeps it from sending for the account."""
    cursor = await tx.execute(
        """SELECT 1 FROM egress_address
           WHERE account_id = %(account_id)s AND address = %(address)s AND refused_until > clock_timestamp()""",
        _params(account_id, egress),
    )
    return await cursor.fetchone() is not None


async def store_refusal(tx: Tx, account_id: str, address: str, *, message: str, cool_down_s: float) -> None:
    """The broker takes no orders of the account from this address: it is not used for so many seconds."""
    await tx.execute(
        """INSERT INTO egress_address (account_id, address, refused_at, refused_until, message)
           SELECT %(account_id)s, %(address)s, now, now + make_interval(secs => %(cool_down_s)s), %(message)s
             FROM clock_timestamp() AS now
           ON CONFLICT (account_id, address) DO UPDATE SET accepted_at = NULL, refused_at = excluded.refused_at,
             refused_until = excluded.refused_until, message = excluded.message""",
        {"account_id": account_id, "address": address, "cool_down_s": cool_down_s, "message": message},
    )


async def store_acceptance(tx: Tx, account_id: str, address: str) -> None:
    """The broker has taken an order of the account from this address."""
    await tx.execute(
        """INSERT INTO egress_address AS e (account_id, address, accepted_at) VALUES (%s, %s, clock_timestamp())
           ON CONFLICT (account_id, address) DO UPDATE
             SET accepted_at = coalesce(e.accepted_at, excluded.accepted_at), refused_until = NULL""",
        (account_id, address),
    )


async def end_cool_downs(tx: Tx, scope: str) -> None:
    """An operator resumes an account, or all: each address may be tried again."""
    await tx.execute(
        "UPDATE egress_address SET refused_until = NULL WHERE refused_until IS NOT NULL AND %s IN (%s, account_id)",
        (scope, ALL_ACCOUNTS),
    )


async def accounts_without_sender(
    tx: Tx, account_ids: Sequence[str], *, live_s: float, unclaimed_s: float
) -> dict[str, str]:
    """Those of these accounts that are not halted and for which no running replica may send, each with the reason.

    Where the broker has refused a replica's address, another one that could take the account counts for so many seconds
    only: it may be unable to, and nobody would read the order book.
    """
    cursor = await tx.execute(
        f"""SELECT a.id, (SELECT m.message FROM egress_address m WHERE m.account_id = a.id AND m.message IS NOT NULL
                          ORDER BY m.refused_at DESC LIMIT 1)
            FROM unnest(%(ids)s::text[]) AS a (id)
            WHERE NOT EXISTS (SELECT 1 FROM kill_switch k WHERE k.scope = a.id AND k.mode = 'halt')
              AND (NOT EXISTS (
                SELECT 1 FROM sender_replica r
                LEFT JOIN egress_address e ON e.account_id = a.id AND e.address = r.address
                WHERE {_LIVES} AND {_QUALIFIES})
              OR EXISTS (SELECT 1 FROM lease l WHERE l.name = 'sender:' || a.id AND {_UNCLAIMED}) AND EXISTS (
                SELECT 1 FROM sender_replica r JOIN egress_address e ON e.account_id = a.id AND e.address = r.address
                WHERE {_LIVES} AND e.refused_until > clock_timestamp()))""",
        {"ids": list(account_ids), "live_s": live_s, "unclaimed_s": unclaimed_s},
    )
    return {row[0]: row[1] or "ALLOWED_EGRESS_IPS names the address of no replica" for row in await cursor.fetchall()}


async def candidates(tx: Tx, account_ids: Sequence[str], *, live_s: float) -> list[Candidate]:
    """Every running replica for each of these accounts, by account and replica."""
    async with tx.cursor(row_factory=class_row(Candidate)) as cursor:
        await cursor.execute(
            f"""SELECT a.id AS account_id, r.replica, r.address, r.listed, e.accepted_at, e.message,
                  CASE WHEN e.refused_until > clock_timestamp() THEN e.refused_until END AS refused_until,
                  EXISTS (SELECT 1 FROM lease l WHERE l.name = 'sender:' || a.id AND l.owner = r.replica
                            AND l.expires_at > clock_timestamp()) AS is_owner
                FROM unnest(%(ids)s::text[]) AS a (id) CROSS JOIN sender_replica r
                LEFT JOIN egress_address e ON e.account_id = a.id AND e.address = r.address
                WHERE {_LIVES}
                ORDER BY a.id, r.replica""",
            {"ids": list(account_ids), "live_s": live_s},
        )
        return await cursor.fetchall()


async def candidate(tx: Tx, account_id: str, egress: Egress) -> Candidate:
    """A replica that need not run, with what is known of its address."""
    async with tx.cursor(row_factory=class_row(Candidate)) as cursor:
        await cursor.execute(
            """SELECT %(account_id)s AS account_id, %(replica)s AS replica, %(address)s AS address,
                 %(listed)s::boolean AS listed, e.accepted_at, e.message, false AS is_owner,
                 CASE WHEN e.refused_until > clock_timestamp() THEN e.refused_until END AS refused_until
               FROM (SELECT 1) AS one
               LEFT JOIN egress_address e ON e.account_id = %(account_id)s AND e.address = %(address)s""",
            _params(account_id, egress),
        )
        found = await cursor.fetchone()
    if found is None:
        raise LookupError("a join from one row gave no row")
    return found


async def was_returned(tx: Tx, task_id: UUID, *, attempt: int) -> bool:
    """Whether an attempt of the task before this one was refused because of its address."""
    cursor = await tx.execute(
        "SELECT 1 FROM order_attempt WHERE task_id = %s AND attempt < %s AND outcome = %s LIMIT 1",
        (task_id, attempt, AttemptOutcome.ADDRESS_REFUSED),
    )
    return await cursor.fetchone() is not None


def _params(account_id: str, egress: Egress) -> dict[str, object]:
    return {
        "account_id": account_id,
        "replica": egress.replica,
        "address": egress.address,
        "listed": egress.listed,
        "live_s": egress.live_s,
        "unclaimed_s": egress.unclaimed_s,
    }
