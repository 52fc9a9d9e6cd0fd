"""The agent's metrics, as Prometheus scrapes them. No label is a VM's or a migration's name: those never end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vmferry_agent.measurements import Measurements
from vmferry_api.migrations import AttemptOutcome, Phase

_PREFIX = "vmferry_agent"
_LIBVIRT_SECONDS = (0.002, 0.005, 0.02, 0.1, 0.5, 2, 5, 10, 30, 60, 300, 1800)
"""Most take 1.5 ms; any may wait 30 s for a domain's job lock; migrateToURI3 lasts as long as the migration."""
_WRITE_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


@dataclass(frozen=True, kw_only=True)
class RoleState:
    """One role at one moment."""

    name: str
    phases: Iterable[Phase]
    """Of each migration that it works on."""
    stalling: int
    """How many of them report MigrationStalling."""
    writes_waiting: int
    """How many have a change to report that is not written yet."""
    streams_begun: int
    """How often its watch was begun."""
    heard_at: datetime | None
    """When its watch was last heard of."""


@dataclass(frozen=True, kw_only=True)
class AgentState:
    """The agent at one moment."""

    roles: Iterable[RoleState]
    lease_renewed_at: datetime | None


class Metrics(Measurements):
    """Counts what happens, in a registry of its own; what is, it asks for at each scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._calls = Histogram(
            "libvirt_call_duration_seconds",
            "Calls of libvirt, by name.",
            ["call"],
            namespace=_PREFIX,
            buckets=_LIBVIRT_SECONDS,
            registry=self._registry,
        )
        self._call_errors = self._counter(
            "libvirt_call_errors",
            "Calls of libvirt that failed, by libvirt's number of the error (libvirt/virterror.h) or `deadline`.",
            "code",
        )
        self._connects = self._counter(
            "libvirt_connects", "Connections opened for short calls; more than one means reconnects."
        )
        self._writes = Histogram(
            "status_write_duration_seconds",
            "Writes of migrations' status to the API server.",
            ["role"],
            namespace=_PREFIX,
            buckets=_WRITE_SECONDS,
            registry=self._registry,
        )
        self._write_failures = self._counter(
            "status_write_failures",
            "Writes of status that failed and are tried again: conflict, unavailable or refused.",
            "role",
            "reason",
        )
        self._attempts = self._counter("attempts_ended", "Attempts from this node, by outcome.", "outcome")
        self._interruptions = self._counter(
            "post_copy_interruptions", "Interrupted post-copies of VMs from this node."
        )
        for outcome in AttemptOutcome:
            self._attempts.labels(outcome)  # shown from the start, so that the first one is an increase

    def follow(self, state: Callable[[], AgentState]) -> None:
        """Ask this for what is, at each scrape."""
        self._registry.register(_State(state))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)

    @override
    def libvirt_called(self, name: str, *, seconds: float, error: str | None) -> None:
        self._calls.labels(name).observe(seconds)
        if error is not None:
            self._call_errors.labels(error).inc()

    @override
    def libvirt_connected(self) -> None:
        self._connects.inc()

    @override
    def status_written(self, role: str, *, seconds: float, failure: str | None) -> None:
        self._writes.labels(role).observe(seconds)
        if failure is not None:
            self._write_failures.labels(role, failure).inc()

    @override
    def attempt_ended(self, outcome: AttemptOutcome) -> None:
        self._attempts.labels(outcome).inc()

    @override
    def post_copy_interrupted(self) -> None:
        self._interruptions.inc()

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace=_PREFIX, registry=self._registry)


class _State(Collector):
    """Gauges of what is."""

    def __init__(self, state: Callable[[], AgentState]) -> None:
        self._state = state

    @override
    def collect(self) -> Iterable[Metric]:
        state = self._state()
        migrations = _gauge(
            "migrations", "Migrations that this agent works on, by the operator's phase.", "role", "phase"
        )
        stalling = _gauge("migrations_stalling", "Migrations that report MigrationStalling.", "role")
        waiting = _gauge("status_writes_waiting", "Migrations with a change that is not written yet.", "role")
        begun = CounterMetricFamily(
            f"{_PREFIX}_watch_streams_begun",
            "Streams of the watch; more than one means it was lost.",
            labels=["role"],
        )
        heard = _gauge("watch_heard_timestamp_seconds", "When the API server last told of anything.", "role")
        for role in state.roles:
            phases = list(role.phases)
            for phase in Phase:
                if not phase.terminal:
                    migrations.add_metric([role.name, phase], phases.count(phase))
            stalling.add_metric([role.name], role.stalling)
            waiting.add_metric([role.name], role.writes_waiting)
            begun.add_metric([role.name], role.streams_begun)
            if role.heard_at is not None:
                heard.add_metric([role.name], role.heard_at.timestamp())
        yield from (migrations, stalling, waiting, begun, heard)
        renewed = _gauge("lease_renewed_timestamp_seconds", "When this node's Lease was last renewed.")
        if state.lease_renewed_at is not None:
            renewed.add_metric([], state.lease_renewed_at.timestamp())
        yield renewed


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", documentation, labels=labels)
