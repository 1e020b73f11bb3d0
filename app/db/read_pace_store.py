"""SQL of the pace that all replicas share: GCRA as in ``app.kite.pace``, by the database's clock."""

from __future__ import annotations

from app.db.postgres import Tx


async def reserve(tx: Tx, name: str, *, emission_s: float, burst: int, within_s: float) -> float | None:
    """Seconds until the next request of this name may go, which is counted. None: not within that time, not counted."""
    cursor = await tx.execute(
        """INSERT INTO read_pace (name, free_at) VALUES (%(name)s, clock_timestamp() + %(emission)s * interval '1 s')
           ON CONFLICT (name) DO UPDATE
             SET free_at = greatest(read_pace.free_at, clock_timestamp()) + %(emission)s * interval '1 s'
             WHERE read_pace.free_at - (%(burst)s - 1) * %(emission)s * interval '1 s'
               <= clock_timestamp() + %(within)s * interval '1 s'
           RETURNING extract(epoch FROM free_at - clock_timestamp())::float8 - %(burst)s * %(emission)s""",
        {"name": name, "emission": emission_s, "burst": burst, "within": within_s},
    )
    row = await cursor.fetchone()
    return None if row is None else max(0.0, float(row[0]))
