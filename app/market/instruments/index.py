"""One day's instruments in memory, immutable: by token, by symbol, and searchable. Pure.

It is built once for each refresh (in a thread) and replaced as a whole, so that a reader never sees a mix of two days.
A search goes through the keys in order from the cursor and stops when its page is full; free text is found by scanning
one string.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.broker.market import Instrument

_SEPARATOR = "\n"
_EXACT = "="
"""Marks a cursor that is still among the exact matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFilter:
    """Every field that is set must match. ``query`` is found anywhere in symbol or name, in any case."""

    query: str | None = None
    exchange: str | None = None
    segment: str | None = None
    instrument_type: str | None = None
    name: str | None = None
    expiry: date | None = None
    strike_min: Decimal | None = None
    strike_max: Decimal | None = None

    def admits(self, instrument: Instrument) -> bool:
        """Whether the instrument matches every field that is set."""
        return (
            (self.exchange is None or instrument.exchange == self.exchange)
            and (self.segment is None or instrument.segment == self.segment)
            and (self.instrument_type is None or instrument.instrument_type == self.instrument_type)
            and (self.name is None or instrument.name == self.name)
            and (self.expiry is None or instrument.expiry == self.expiry)
            and (self.strike_min is None or instrument.strike >= self.strike_min)
            and (self.strike_max is None or instrument.strike <= self.strike_max)
            and (self.query is None or self.query.upper() in _haystack(instrument))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentPage:
    """``next_key`` continues after the last instrument; None: there are no more."""

    instruments: tuple[Instrument, ...]
    next_key: str | None


class InstrumentIndex:
    """``by_token`` is by instrument token. In a search exact matches of the symbol come first, then the order of
    ``EXCHANGE:TRADINGSYMBOL``."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        by_key = {instrument.key: instrument for instrument in instruments}
        self._keys: list[str] = sorted(by_key)
        self._rows: list[Instrument] = [by_key[key] for key in self._keys]
        self._by_key = by_key
        self.by_token: Mapping[int, Instrument] = {row.instrument_token: row for row in self._rows}
        self._by_symbol = _group((row.tradingsymbol, at) for at, row in enumerate(self._rows))
        self._by_name = _group((row.name, at) for at, row in enumerate(self._rows))
        self._by_expiry = _group((row.expiry, at) for at, row in enumerate(self._rows))
        self._text, self._starts = _searchable(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._rows)

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument of this symbol; None when it is not among them."""
        return self._by_key.get(f"{exchange}:{tradingsymbol}")

    def search(self, wanted: InstrumentFilter, *, limit: int, after: str | None = None) -> InstrumentPage:
        """A page of at most ``limit``; ``after`` is the ``next_key`` of the page before."""
        exact = self._exact(wanted)
        in_exact = after is None or after.startswith(_EXACT)
        first = [at for at in exact if after is None or self._keys[at] > after.removeprefix(_EXACT)] if in_exact else []
        start = 0 if in_exact else bisect_right(self._keys, after or "")
        found = first[: limit + 1]
        for at in self._candidates(wanted, start):
            if len(found) > limit:
                break
            if at not in exact and wanted.admits(self._rows[at]):
                found.append(at)
        shown = found[:limit]
        next_key = None
        if len(found) > limit:
            next_key = (_EXACT if limit <= len(first) else "") + self._keys[shown[-1]]
        return InstrumentPage(instruments=tuple(self._rows[at] for at in shown), next_key=next_key)

    def _exact(self, wanted: InstrumentFilter) -> list[int]:
        if wanted.query is None:
            return []
        same = self._by_symbol.get(wanted.query.upper(), ())
        return [at for at in same if wanted.admits(self._rows[at])]

    def _candidates(self, wanted: InstrumentFilter, start: int) -> Iterable[int]:
        """Positions from ``start`` on, in order: as few as the most selective index gives."""
        if wanted.name is not None:
            return [at for at in self._by_name.get(wanted.name, ()) if at >= start]
        if wanted.query:
            return self._containing(wanted.query.upper(), start)
        if wanted.expiry is not None:
            return [at for at in self._by_expiry.get(wanted.expiry, ()) if at >= start]
        if wanted.exchange is not None:
            low = max(start, bisect_right(self._keys, wanted.exchange + ":"))
            return range(low, bisect_right(self._keys, wanted.exchange + ";"))
        return range(start, len(self._rows))

    def _containing(self, needle: str, start: int) -> Iterator[int]:
        at = start
        while at < len(self._starts):
            hit = self._text.find(needle, self._starts[at])
            if hit < 0:
                return
            at = bisect_right(self._starts, hit) - 1
            yield at
            at += 1


def _group(pairs: Iterable[tuple[object, int]]) -> dict[object, list[int]]:
    groups: dict[object, list[int]] = {}
    for value, at in pairs:
        groups.setdefault(value, []).append(at)
    return groups


def _haystack(instrument: Instrument) -> str:
    return f"{instrument.tradingsymbol} {instrument.name}".upper()


def _searchable(rows: Sequence[Instrument]) -> tuple[str, list[int]]:
    """All rows as one string, and where each begins."""
    starts: list[int] = []
    lines: list[str] = []
    position = 0
    for row in rows:
        line = _haystack(row)
        starts.append(position)
        lines.append(line)
        position += len(line) + 1
    return _SEPARATOR.join(lines), starts
