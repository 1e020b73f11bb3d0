"""Settings that come from files, as secrets are mounted: ``NAME_FILE=/path`` gives NAME the text of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from app.errors import SettingsError

_SUFFIX = "_FILE"


def read_files(variables: Mapping[str, str], *, names: Iterable[str]) -> dict[str, str]:
    """The values that files give to the settings of these names, by the name in lower case.

    Raises SettingsError where both are set, because one of them would be ignored, and for a file that cannot be read.
    """
    values: dict[str, str] = {}
    for name in names:
        path = variables.get(name + _SUFFIX)
        if not path:
            continue
        if variables.get(name):
            raise SettingsError(name + _SUFFIX, wants=f"to be the only one: {name} is set too")
        try:
            values[name.lower()] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(name + _SUFFIX, wants=f"a readable text file: {error}") from None
    return values
