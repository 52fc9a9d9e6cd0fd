"""The metrics of one process, as Prometheus scrapes them.

No label is the name of a VM or of a migration: those never end.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

WRITE_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
"""Buckets for a write to the API server."""


class Registry:
    """Holds them, with the process' own (memory, CPU, files).

    Args:
        prefix: What all names begin with.
    """

    def __init__(self, prefix: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # one more series for each that nobody asks for
        self._prefix = prefix
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Gauge(
            "build_info",
            "1, for the version that runs.",
            ["version"],
            namespace=prefix,
            registry=self._registry,
        ).labels(version("vmferry")).set(1)

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A counter of what happens; `_total` is added to its name."""
        return Counter(name, documentation, labels, namespace=self._prefix, registry=self._registry)

    def histogram(self, name: str, documentation: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """A histogram of what happens; its buckets' upper bounds are in the unit that the name ends with."""
        return Histogram(
            name, documentation, labels, namespace=self._prefix, registry=self._registry, buckets=buckets
        )

    def at_each_scrape(self, families: Callable[[], Iterable[Metric]]) -> None:
        """Ask for these at each scrape: what is, in place of what happens."""
        self._registry.register(_Asked(families))

    def gauge_family(self, name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
        """A gauge to fill at a scrape."""
        return GaugeMetricFamily(f"{self._prefix}_{name}", documentation, labels=labels)

    def counter_family(self, name: str, documentation: str, *labels: str) -> CounterMetricFamily:
        """A counter to fill at a scrape, from what somebody else counts."""
        return CounterMetricFamily(f"{self._prefix}_{name}", documentation, labels=labels)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Asked(Collector):
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    @override
    def collect(self) -> Iterable[Metric]:
        return self._families()
