"""Webhook deliveries as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.ops.metrics import Metrics, Samples


def register_webhook_metrics(
    metrics: Metrics, *, counts: Callable[[], Mapping[str, int]], backlog: Callable[[], Samples]
) -> None:
    """Tries of webhook deliveries by what came of them, and how many deliveries wait at all endpoints."""
    metrics.add_counter(
        "ticker_webhook_deliveries_total",
        "Tries of webhook deliveries, by what came of them.",
        lambda: {(result,): count for result, count in counts().items()},
        labels=["result"],
    )
    metrics.add_gauge(
        "ticker_webhook_backlog", "Webhook deliveries that wait, over all processes; counted to 100,000.", backlog
    )
