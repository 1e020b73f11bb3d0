"""Keeps an exchange in a directory: reads what an earlier process left, and writes from then on."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.state.journal import Journal
from simulator.state.journal_writer import Recorder
from simulator.state.restore import Restorer


def keep_state(
    directory: Path, *, exchange: Exchange, accounts: Accounts, seed: int, now: Callable[[], datetime]
) -> Journal:
    """The open journal, which the caller closes. The same day goes on; another day begins with an empty book.

    Raises JournalError: the directory is in use, or holds what is not a journal.
    """
    journal = Journal(directory)
    try:
        saved = journal.read()
        today = exchange.days.day
        if saved is not None:
            Restorer(exchange=exchange, accounts=accounts).restore(saved)
        recorder = Recorder(journal, exchange=exchange, accounts=accounts, seed=seed)
        if saved is None or saved.snapshot.day != today:
            if saved is not None:
                pass_night(exchange, accounts, now())
            recorder.attach()
            recorder.begin_day()
        else:
            journal.resume()
            recorder.attach()
            with exchange.turn:
                for order in list(exchange.book.all_orders()):
                    exchange.engine.resume(order)
    except BaseException:
        journal.close()
        raise
    return journal


def pass_night(exchange: Exchange, accounts: Accounts, now: datetime) -> None:
    """The process slept through one night at least: what the evening and the morning do is done now."""
    exchange.days.end_day()
    exchange.days.new_day()
    for account in accounts:
        account.revive(now)


def stored_seed(directory: Path) -> int | None:
    """The seed with which the directory's journal was begun, so that prices go on as they were. Raises JournalError."""
    journal = Journal(directory)
    try:
        saved = journal.read()
    finally:
        journal.close()
    return None if saved is None else saved.snapshot.seed
