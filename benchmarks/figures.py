"""Medians, percentiles, and ratios per round: machines change their speed between rounds, less so within one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], *, unit: str = "", digits: int = 0) -> str:
    """The text ``median (min-max)``."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle}{unit} ({low}-{high})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each pair; both have the same length."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """``ordered`` must be sorted and not empty."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
