"""``python -m app doctor``: does everything that the service needs work? One line for each check, with what to do.

Where ``serve`` would refuse to start, a check fails. What it would start with and not work, fails too: an address that
takes no connection, a clock that is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from app.accounts.roster import load_accounts
from app.commands import doctor_database, doctor_machine, doctor_network
from app.commands.findings import Finding, checked, timed
from app.config import Settings


async def examine(settings: Settings) -> list[Finding]:
    """Every check, also after one has failed. The first finding is that the settings could be read.

    Raises SettingsError when the accounts cannot be read, as ``serve`` does.
    """
    accounts = load_accounts(settings)
    findings = [
        Finding(result="ok", subject="settings", detail=f"{settings.environment}, accounts: {', '.join(accounts)}"),
        await checked("api key", partial(doctor_machine.api_key, settings)),
        await checked("log dir", partial(doctor_machine.log_dir, settings)),
        await checked("disk", partial(doctor_machine.disk, settings)),
        await checked("token dir", partial(doctor_machine.token_dir, settings)),
        await checked("port", partial(doctor_machine.port, settings)),
        await checked("calendar", partial(doctor_machine.calendar, settings)),
        await timed("database", partial(doctor_database.database, settings)),
    ]
    if _is_ok(findings, "database"):
        findings.append(await checked("migrations", partial(doctor_database.migrations, settings)))
    schema_fits = _is_ok(findings, "migrations")
    if schema_fits:
        findings.append(await checked("rights", partial(doctor_database.rights, settings)))
        findings.append(await checked("deployment", partial(doctor_database.deployment, settings)))
        findings.append(await checked("event log", partial(doctor_database.event_log, settings)))
    findings.append(await timed("redis", partial(doctor_network.redis, settings)))
    findings.append(await timed("feed", partial(doctor_network.feed, settings)))
    findings.append(await timed("clock", partial(doctor_network.broker_clock, settings)))
    if schema_fits:
        findings += [await checked(f"sender {one}", partial(doctor_database.sender, settings, one)) for one in accounts]
    if _is_ok(findings, "database"):
        findings += [await timed(f"broker {one}", partial(doctor_network.session, settings, one)) for one in accounts]
    return findings


def _is_ok(findings: Sequence[Finding], subject: str) -> bool:
    return any(one.subject == subject and one.result == "ok" for one in findings)
