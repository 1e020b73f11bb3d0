"""A process that delivers, for a test to kill: ``python -m tests.integration.webhooks.deliver DATABASE_URL``."""

from __future__ import annotations

import asyncio
import sys

from app.db.postgres import open_database
from app.webhooks.delivery import DeliveryLoop
from tests.integration.webhooks.conftest import make_attempts


async def main(database_url: str) -> None:
    database = await open_database(database_url, name="deliver")
    await DeliveryLoop(database, attempts=make_attempts()[2]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
