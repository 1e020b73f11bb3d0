"""Variables that were meant as a setting and are none: a misspelt limit would be a limit that does not exist.

A variable is refused when it begins with one of our prefixes, or when it differs by a letter or two from a setting's
name, in whatever case. Others belong to other programs and are left alone, and so are the variables that Kubernetes and
Docker set for the services beside this one (``REDIS_PORT=tcp://10.0.0.7:6379``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from app.errors import SettingsError

PREFIXES = (
    *("ACCOUNTS_", "ALLOWED_EGRESS_", "API_KEY_", "BATCH_", "DATABASE_", "EGRESS_", "FEED_", "INSTRUMENT_DB_", "KITE_"),
    *("LIMIT_", "LOG_", "ORDERS_", "ORDER_", "REDIS_", "RISK_", "TICK_", "TRUSTED_", "WEBHOOK_", "WS_"),
)
OTHER_PROGRAMS = frozenset({"SIM_PORT", "DATA_DIR", "HOSTNAME", "HOSTTYPE", "PAGER", "EXPORT", "REPORT", "SUPPORT"})
"""Variables of ``make run``, the shell and others that look like settings and are none."""

_SERVICE_LINK = re.compile(r"_(?:SERVICE_(?:HOST|PORT)(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)$")
_LINK_VALUE = re.compile(r"(?:tcp|udp|sctp)://")
_FILE = "_FILE"
_LONG = 8  # a name with fewer letters differs by one letter from too many others


def refuse_misnamed(variables: Mapping[str, str], *, names: Collection[str]) -> None:
    """Raises SettingsError for the first variable that was meant as one of ``names`` (in upper case)."""
    for variable, value in variables.items():
        if value and not _is_known(variable, names) and not _is_of_others(variable, value):
            meant = nearest(variable.upper(), names)
            if meant is None and variable.upper().startswith(PREFIXES):
                raise SettingsError(variable, wants="there is no such setting; .env.example lists all of them")
            if meant is not None:
                raise SettingsError(variable, wants=f"there is no such setting; {meant} was meant?")


def nearest(variable: str, names: Iterable[str]) -> str | None:
    """The name that ``variable`` is a misspelling of; its ``_FILE`` form stays one."""
    near = sorted(
        (distance, name + suffix)
        for name in names
        for suffix in ("", _FILE)
        if (distance := differences(variable, name + suffix)) <= (2 if len(name) >= _LONG else 1)
        and (len(name) >= _LONG or len(variable) != len(name + suffix) or sorted(variable) == sorted(name + suffix))
    )
    return near[0][1] if near else None


def differences(one: str, other: str) -> int:
    """How many letters are missing, too many, other ones, or in each other's place."""
    if abs(len(one) - len(other)) > 2:  # more than anyone asks for
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, row, above = row, [i], before
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], wanted):
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _is_known(variable: str, names: Collection[str]) -> bool:
    return variable in names or (variable.endswith(_FILE) and variable.removesuffix(_FILE) in names)


def _is_of_others(variable: str, value: str) -> bool:
    is_link = bool(_SERVICE_LINK.search(variable)) or (variable.endswith("_PORT") and bool(_LINK_VALUE.match(value)))
    return is_link or variable in OTHER_PROGRAMS
