"""What the database does for one order: every table that grows is asked through an index, on connections that are
ready before the first order comes."""

from __future__ import annotations

from psycopg import AsyncConnection

from app.broker.orders import OrderChanges
from app.orders.entry.acceptance import Caller
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.waiting import until

DAYS, A_DAY = 200, 150
_OLD_TASKS = """
INSERT INTO order_task (task_id, account_id, operation, status, trade_date, instrument, request, tag_base, priority,
                        send_by, order_id, sent, finished_at)
SELECT gen_random_uuid(), %(account_id)s, 'place', 'completed', current_date - day, 'NSE:INFY', '{}',
       'T' || day || '-' || n, 2, now(), 'O' || day || '-' || n, 'yes', now() - make_interval(days => day)
FROM generate_series(3, %(days)s) AS day, generate_series(1, %(a_day)s) AS n
"""
_THEIR_ORDERS = """
INSERT INTO broker_order (account_id, trade_date, order_id, task_id, status, state, filled_quantity, average_price,
                          content_hash, document, first_seen_at)
SELECT account_id, trade_date, order_id, task_id, 'COMPLETE', 'completed', 1, 1, '', '{}', trade_date FROM order_task
"""
_THEIR_FILLS = """
INSERT INTO fill (account_id, trade_date, trade_id, order_id, quantity, average_price, document)
SELECT account_id, trade_date, order_id, order_id, 1, 1, '{"inferred": false}' FROM broker_order
"""
_READ_AS_A_WHOLE = """
SELECT pg_stat_force_next_flush(), relname, seq_scan FROM pg_stat_user_tables
WHERE relname IN ('order_task', 'broker_order', 'fill') ORDER BY relname
"""


async def scans(environment: OrderEnvironment) -> dict[str, int]:
    async with environment.database.connection() as connection:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        cursor = await connection.execute(_READ_AS_A_WHOLE)
        return {row[1]: row[2] for row in await cursor.fetchall()}


async def settled_scans(environment: OrderEnvironment) -> dict[str, int]:
    """Connections report what they did about once a second: the count when it has stopped moving."""
    last: dict[str, int] = {}

    async def quiet() -> bool:
        nonlocal last
        before, last = last, await scans(environment)
        return before == last

    await until(quiet, every_s=1.5, within_s=20)
    return last


async def test_an_order_s_life_reads_no_table_as_a_whole(environment: OrderEnvironment, database_url: str) -> None:
    """Filled in part, modified and cancelled beside the account's orders of two hundred days: no table is scanned."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:  # without a pool's bounds
        await connection.execute(_OLD_TASKS, {"account_id": ACCOUNT, "days": DAYS, "a_day": A_DAY})
        await connection.execute(_THEIR_ORDERS)
        await connection.execute(_THEIR_FILLS)
        await connection.execute("ANALYZE order_task, broker_order, fill")
    before = await settled_scans(environment)
    task = await environment.place()
    order_id = str(task["order_id"])
    caller = Caller(principal="t")

    async def shown() -> bool:
        return bool((await environment.service.queries.order(order_id, account_id=ACCOUNT))["state"] == "open")

    await until(shown)
    (await environment.sim.post(f"/_sim/orders/{order_id}", json={"fill": 3})).raise_for_status()

    async def filled() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return bool(await environment.service.queries.trades(ACCOUNT))

    await until(filled)
    changed = await environment.service.modify(
        order_id, OrderChanges(quantity=11), account_id=ACCOUNT, caller=caller, wait_s=20
    )
    assert changed.document["status"] == "completed"
    cancelled = await environment.service.cancel(order_id, account_id=ACCOUNT, caller=caller, wait_s=20)
    assert cancelled.document["status"] == "completed"
    assert await settled_scans(environment) == before


async def test_a_new_connection_has_planned_what_an_order_needs(environment: OrderEnvironment) -> None:
    """The claim is ready before the first order, as the plan that the first order then uses."""
    await environment.place()
    async with environment.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT generic_plans > 0, custom_plans FROM pg_prepared_statements WHERE statement LIKE %s",
            ("%claimed AS%",),
        )
        assert await cursor.fetchall() == [(True, 0)]
