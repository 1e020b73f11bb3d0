"""Counts what the adapter to the broker reports: requests with their outcome, and rows that it could not read."""

from __future__ import annotations

from collections import Counter

from app.ops.metrics import Metrics, Samples


class BrokerCalls:
    """Counts the requests to the broker as the adapter's observer. Both labels are closed lists of the adapter."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str]] = Counter()
        self._unreadable: Counter[str] = Counter()

    def observe(self, endpoint: str, outcome: str, seconds: float) -> None:  # noqa: ARG002 - the observer's signature
        """Count one request that has an answer, or failed."""
        self._calls[str(endpoint), outcome] += 1

    def count_unreadable(self, endpoint: str, count: int) -> None:
        """Count rows of an answer that could not be read."""
        self._unreadable[str(endpoint)] += count

    def unreadable(self) -> Samples:
        """Rows that could not be read, by endpoint, since the start."""
        return {(endpoint,): count for endpoint, count in self._unreadable.items()}

    def samples(self) -> Samples:
        """Requests by endpoint and outcome since the start."""
        return {(endpoint, outcome): count for (endpoint, outcome), count in self._calls.items()}


def register_broker_metrics(metrics: Metrics, calls: BrokerCalls) -> None:
    """Requests to the broker, and rows of its answers that were left out."""
    metrics.add_counter(
        "ticker_broker_requests_total", "Requests to the broker.", calls.samples, labels=["endpoint", "outcome"]
    )
    metrics.add_counter(
        "ticker_broker_unreadable_rows_total",
        "Rows of the broker's answers that could not be read and were left out.",
        calls.unreadable,
        labels=["endpoint"],
    )
