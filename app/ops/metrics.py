"""The Prometheus registry: how counts become samples, and the counts of HTTP requests.

Requests are counted here. Every other feature counts in plain integers, which costs the tick path nothing, and its
numbers are read when Prometheus scrapes: ``add_counter``, ``add_gauge`` and ``add_histogram`` take the function that
reads them (``app.ops.metric_sources`` has the list). A function that fails drops its own family from that scrape, never
the whole answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, Protocol, TypeVar

from loguru import logger
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

T = TypeVar("T")

REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Samples = Mapping[tuple[str, ...], float]
"""Label values to value; ``{(): 3}`` where there are no labels."""


class HistogramSnapshot(Protocol):
    """Upper bounds in seconds, a count per bucket (one more than bounds: the rest), and the sum in seconds."""

    @property
    def bounds_s(self) -> Sequence[float]: ...

    @property
    def counts(self) -> Sequence[int]: ...

    @property
    def sum_s(self) -> float: ...


class Metrics:
    """One registry for each running service, so that two in one process do not share counts."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests_total",
            "Requests answered, by route template.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "From the first byte of a request to the end of its answer.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self._request_children: dict[tuple[str, str, int], Counter] = {}
        self._duration_children: dict[tuple[str, str], Histogram] = {}

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. ``route`` is the template, not the path, so that labels stay few."""
        method = method if method in _METHODS else "OTHER"
        requests = self._request_children.get((method, route, status))
        if requests is None:
            requests = self._requests.labels(method=method, route=route, status=str(status))
            self._request_children[method, route, status] = requests
        durations = self._duration_children.get((method, route))
        if durations is None:
            durations = self._durations.labels(method=method, route=route)
            self._duration_children[method, route] = durations
        requests.inc()
        durations.observe(seconds)

    def add_counter(
        self, name: str, documentation: str, read: Callable[[], Samples], *, labels: Sequence[str] = ()
    ) -> None:
        """A number that only rises; ``name`` may end in ``_total``. ``read`` runs at each scrape."""
        self.registry.register(_Snapshot("counter", name, documentation, labels, read))

    def add_gauge(
        self, name: str, documentation: str, read: Callable[[], Samples], *, labels: Sequence[str] = ()
    ) -> None:
        """A number that rises and falls. ``read`` runs at each scrape."""
        self.registry.register(_Snapshot("gauge", name, documentation, labels, read))

    def add_histogram(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Mapping[tuple[str, ...], HistogramSnapshot]],
        *,
        labels: Sequence[str] = (),
    ) -> None:
        """A distribution. ``read`` runs at each scrape and gives the counts by label values."""
        self.registry.register(_HistogramSnapshots(name, documentation, labels, read))

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)


class _Snapshot(Collector):
    """A counter or a gauge whose numbers are read at each scrape."""

    def __init__(
        self,
        kind: Literal["counter", "gauge"],
        name: str,
        documentation: str,
        labels: Sequence[str],
        read: Callable[[], Samples],
    ) -> None:
        self._kind = kind
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family_type = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        family = family_type(self._name, self._documentation, labels=self._labels)
        for values, number in _read_or_nothing(self._name, self._read):
            family.add_metric(values, number)
        yield family


class _HistogramSnapshots(Collector):
    """A histogram whose counts are read at each scrape."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        read: Callable[[], Mapping[tuple[str, ...], HistogramSnapshot]],
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, snapshot in _read_or_nothing(self._name, self._read):
            family.add_metric(values, buckets=_cumulative(snapshot), sum_value=snapshot.sum_s)
        yield family


def _cumulative(snapshot: HistogramSnapshot) -> list[tuple[str, float]]:
    """Upper bound and running total of each bucket, as Prometheus wants them."""
    bounds = [str(float(bound)) for bound in snapshot.bounds_s] + ["+Inf"]
    return list(zip(bounds, map(float, accumulate(snapshot.counts)), strict=True))


def _read_or_nothing(name: str, read: Callable[[], Mapping[tuple[str, ...], T]]) -> Iterator[tuple[tuple[str, ...], T]]:
    try:
        samples = read()
    except Exception as error:  # noqa: BLE001 - the outermost frame of one family: the other families still count
        logger.opt(exception=error).error("metric {} cannot be read", name)
        return
    yield from samples.items()
