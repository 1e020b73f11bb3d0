"""Connects an exchange with its directory: restores what an earlier process wrote, and writes from then on."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.state.journal import Journal
from simulator.state.journal_writer import JournalWriter
from simulator.state.restore import Restorer


def persist_exchange(
    directory: Path, *, exchange: Exchange, accounts: Accounts, seed: int, now: Callable[[], datetime]
) -> Journal:
    """Returns the open journal, which the caller closes.

    On the day of the journal the exchange goes on where it was; on a later day it begins with an empty book. Raises
    JournalError when the directory is in use or its file is no journal.
    """
    journal = Journal(directory)
    try:
        saved = journal.read()
        today = exchange.days.day
        if saved is not None:
            Restorer(exchange=exchange, accounts=accounts).restore(saved)
        writer = JournalWriter(journal, exchange=exchange, accounts=accounts, seed=seed)
        if saved is None or saved.snapshot.day != today:
            if saved is not None:
                begin_next_day(exchange, accounts, now())
            writer.attach()
            writer.begin_day()
        else:
            journal.resume()
            writer.attach()
            with exchange.step:
                for order in list(exchange.book.all_orders()):
                    exchange.engine.resume(order)
    except BaseException:
        journal.close()
        raise
    return journal


def begin_next_day(exchange: Exchange, accounts: Accounts, now: datetime) -> None:
    """Ends the restored day and begins today: no process was there when the day changed."""
    exchange.days.end_day()
    exchange.days.new_day()
    for account in accounts:
        account.revive(now)


def stored_seed(directory: Path) -> int | None:
    """The seed of the directory's journal, with which prices go on as they were; None without one.

    Raises JournalError.
    """
    journal = Journal(directory)
    try:
        saved = journal.read()
    finally:
        journal.close()
    return None if saved is None else saved.snapshot.seed
