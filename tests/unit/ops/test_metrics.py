"""What Prometheus scrapes."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from app.ops.metrics import Metrics


@dataclass(frozen=True)
class Lag:
    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_method_route_and_status() -> None:
    """The labels that alerts use, and a histogram without the status."""
    metrics = Metrics()
    for _ in range(2):
        metrics.count_request(method="GET", route="/orders/{order_id}", status=200, seconds=0.004)
    metrics.count_request(method="BREW", route="unmatched", status=405, seconds=0.001)
    samples = _samples(metrics)
    labels = (("method", "GET"), ("route", "/orders/{order_id}"))
    assert samples["http_requests_total", (*labels, ("status", "200"))] == 2
    assert samples["http_request_duration_seconds_count", labels] == 2
    assert samples["http_requests_total", (("method", "OTHER"), ("route", "unmatched"), ("status", "405"))] == 1


def test_snapshots_become_samples_at_the_scrape() -> None:
    """Counters and gauges are read at the scrape, not written at the event."""
    metrics = Metrics()
    received: dict[tuple[str, ...], float] = {("primary",): 1.0}
    metrics.add_counter("ticker_ticks_received_total", "Ticks.", lambda: received, labels=["account"])
    metrics.add_gauge("ticker_active_subscriptions", "Now.", lambda: {(): 3.0})
    received["primary",] = 7.0
    samples = _samples(metrics)
    assert samples["ticker_ticks_received_total", (("account", "primary"),)] == 7
    assert samples["ticker_active_subscriptions", ()] == 3


def test_histogram_buckets_are_cumulative() -> None:
    """Counts per bucket in, Prometheus's running totals out."""
    metrics = Metrics()
    lag = Lag(bounds_s=(0.1, 1.0), counts=(2, 3, 4), sum_s=9.5)
    metrics.add_histogram("ticker_feed_lag_seconds", "Lag.", lambda: {(): lag})
    samples = _samples(metrics)
    assert samples["ticker_feed_lag_seconds_bucket", (("le", "0.1"),)] == 2
    assert samples["ticker_feed_lag_seconds_bucket", (("le", "1.0"),)] == 5
    assert samples["ticker_feed_lag_seconds_bucket", (("le", "+Inf"),)] == 9
    assert samples["ticker_feed_lag_seconds_sum", ()] == 9.5
    assert samples["ticker_feed_lag_seconds_count", ()] == 9


def test_one_broken_snapshot_does_not_hide_the_others() -> None:
    """A family that cannot be read is absent, never invented."""

    def broken() -> dict[tuple[str, ...], float]:
        raise RuntimeError("gone")

    metrics = Metrics()
    metrics.add_gauge("ticker_broken", "Broken.", broken)
    metrics.add_gauge("ticker_fine", "Fine.", lambda: {(): 1.0})
    samples = _samples(metrics)
    assert ("ticker_fine", ()) in samples
    assert ("ticker_broken", ()) not in samples


def test_two_services_in_one_process_do_not_share_counts() -> None:
    """No global registry."""
    first, second = Metrics(), Metrics()
    first.count_request(method="GET", route="/", status=200, seconds=0.1)
    assert not any(name == "http_requests_total" for name, _ in _samples(second))
