"""The agent's metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import Metric
from typing_extensions import override

from vmferry_agent.measurements import Measurements
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_kube.measuring import Failure
from vmferry_kube.metrics import WRITE_SECONDS, Registry

_LIBVIRT_SECONDS = (0.002, 0.005, 0.02, 0.1, 0.5, 2, 5, 10, 30, 60, 300, 1800)
"""Most take 1.5 ms; any may wait 30 s for a domain's job lock; migrateToURI3 lasts as long as the migration."""


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
        self._registry = registry = Registry("vmferry_agent")
        self._calls = registry.histogram(
            "libvirt_call_duration_seconds", "Calls of libvirt, by name.", "call", buckets=_LIBVIRT_SECONDS
        )
        self._call_errors = registry.counter(
            "libvirt_call_errors",
            "Calls of libvirt that failed, by libvirt's number of the error (libvirt/virterror.h) or `deadline`.",
            "code",
        )
        self._connects = registry.counter(
            "libvirt_connects", "Connections opened for short calls; more than one means reconnects."
        )
        self._writes = registry.histogram(
            "status_write_duration_seconds",
            "Writes of migrations' status to the API server.",
            "role",
            buckets=WRITE_SECONDS,
        )
        self._write_failures = registry.counter(
            "status_write_failures",
            "Writes of status that failed and are tried again.",
            "role",
            "reason",
        )
        self._attempts = registry.counter("attempts_ended", "Attempts from this node, by outcome.", "outcome")
        self._interruptions = registry.counter(
            "post_copy_interruptions", "Interrupted post-copies of VMs from this node."
        )
        for outcome in AttemptOutcome:
            self._attempts.labels(outcome)  # shown from the start, so that the first one is an increase

    def follow(self, state: Callable[[], AgentState]) -> None:
        """Ask this for what is, at each scrape."""
        self._registry.at_each_scrape(lambda: self._families(state()))

    def follow_certificates(self, ends: Callable[[], Mapping[str, datetime]]) -> None:
        """Ask this for when each certificate ends, by its file, at each scrape: they are replaced under way."""
        self._registry.at_each_scrape(lambda: [self._certificates(ends())])

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return self._registry.text()

    @override
    def libvirt_called(self, name: str, *, seconds: float, error: str | None) -> None:
        self._calls.labels(name).observe(seconds)
        if error is not None:
            self._call_errors.labels(error).inc()

    @override
    def libvirt_connected(self) -> None:
        self._connects.inc()

    @override
    def status_written(self, role: str, *, seconds: float, failure: Failure | None) -> None:
        self._writes.labels(role).observe(seconds)
        if failure is not None:
            self._write_failures.labels(role, failure).inc()

    @override
    def attempt_ended(self, outcome: AttemptOutcome) -> None:
        self._attempts.labels(outcome).inc()

    @override
    def post_copy_interrupted(self) -> None:
        self._interruptions.inc()

    def _certificates(self, ends: Mapping[str, datetime]) -> Metric:
        family = self._registry.gauge_family(
            "certificate_expiry_timestamp_seconds", "When a certificate of this host ends.", "file"
        )
        for file, end in ends.items():
            family.add_metric([file], end.timestamp())
        return family

    def _families(self, state: AgentState) -> Iterable[Metric]:
        """Gauges of what is."""
        gauge = self._registry.gauge_family
        migrations = gauge(
            "migrations", "Migrations that this agent works on, by the operator's phase.", "role", "phase"
        )
        stalling = gauge("migrations_stalling", "Migrations that report MigrationStalling.", "role")
        waiting = gauge("status_writes_waiting", "Migrations with a change that is not written yet.", "role")
        begun = self._registry.counter_family(
            "watch_streams_begun", "Streams of the watch; more than one means it was lost.", "role"
        )
        heard = gauge("watch_heard_timestamp_seconds", "When the API server last told of anything.", "role")
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
        renewed = gauge("lease_renewed_timestamp_seconds", "When this node's Lease was last renewed.")
        if state.lease_renewed_at is not None:
            renewed.add_metric([], state.lease_renewed_at.timestamp())
        yield renewed
