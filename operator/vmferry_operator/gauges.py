"""Gauges of what there is, made anew at each scrape."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

from vmferry_api.conditions import LINK_SILENT, QUEUED, RECOVERY_EXHAUSTED, Status
from vmferry_api.migrations import Phase
from vmferry_kube.metrics import Registry
from vmferry_operator.decisions.prospects import Expected
from vmferry_operator.decisions.select import BUILT_IN
from vmferry_operator.standing import NEEDS_PERSON, NO_POLICY, Standing

_LIVE = [phase for phase in Phase if not phase.terminal]
_INTERRUPTED = (LINK_SILENT, "LinkLost", RECOVERY_EXHAUSTED)
"""The agent's reasons with which PostCopyInterrupted is True."""
_FULL = ("perCluster", "outgoingPerNode", "incomingPerNode", "vm")
"""What status.queue.waitingFor can be."""

Label = TypeVar("Label", bound=str)
Values = TypeVar("Values", bound=tuple[str, ...])
"""Those of all labels, in their order."""


@dataclass(frozen=True, kw_only=True)
class WatchState:
    """One watch and its queue at one moment."""

    streams_begun: int
    heard_at: datetime | None
    queued: int
    """How many objects are looked at just now, or are about to be."""


@dataclass(frozen=True, kw_only=True)
class OperatorState:
    """The operator at one moment."""

    leads: bool
    """Whether it decides; otherwise another one does, or none."""
    standing: Standing
    unread: int
    """Migrations whose status can't be read."""
    policies: Iterable[str]
    """The names of all that there are."""
    watches: Mapping[str, WatchState]
    """By kind."""
    listed_at: datetime | None
    """When everything was last read in full."""
    events_dropped: int
    """How many Events could not be written."""


def families(registry: Registry, state: OperatorState) -> Iterator[Metric]:
    """All of them; what stands in the objects is shown by the one operator that leads, to be counted once."""
    if state.leads:
        yield from _of_migrations(registry, state)
        yield from _of_the_cluster(registry, state)
    yield from _of_itself(registry, state)


def _of_migrations(registry: Registry, state: OperatorState) -> Iterator[Metric]:
    there = state.standing
    policies = dict.fromkeys([BUILT_IN, NO_POLICY, *state.policies, *(each for each, _ in there.migrations)])
    yield _gauge(
        registry,
        "migrations",
        "Migrations that there are, by policy and phase.",
        ("policy", "phase"),
        {(policy, phase): there.migrations[policy, phase] for policy in policies for phase in Phase},
    )
    yield _gauge(
        registry,
        "migrations_stalling",
        "Migrations that run and report MigrationStalling.",
        ("policy",),
        {(policy,): there.stalling[policy] for policy in policies},
    )
    yield _gauge(
        registry,
        "migrations_nothing_left",
        "Migrations that stall with nothing left to try but to end them.",
        ("policy",),
        {(policy,): there.nothing_left[policy] for policy in policies},
    )
    yield _gauge(
        registry,
        "migrations_missing_deadline",
        "Migrations that will not be over when they have to be.",
        ("policy",),
        {(policy,): there.missing_deadline[policy] for policy in policies},
    )
    yield _gauge(
        registry,
        "migrations_expected",
        "Migrations that run, by what their forecast says of the end.",
        ("forecast",),
        _by_one(Expected, there.expected),
    )
    yield _gauge(
        registry,
        "migrations_pending",
        "Migrations that have not started, by the reason of the condition Reconciling.",
        ("reason",),
        _by_one((QUEUED,), there.pending),
    )
    yield _gauge(
        registry,
        "migrations_agent_silent",
        "Migrations whose agent owes a report and gives none, by phase.",
        ("phase",),
        _by_one(_LIVE, there.silent),
    )
    yield _gauge(
        registry,
        "post_copies_interrupted",
        "Migrations in post-copy that is interrupted, by the reason of the condition PostCopyInterrupted.",
        ("reason",),
        _by_one(_INTERRUPTED, there.interrupted),
    )
    yield _gauge(
        registry,
        "migrations_unreadable",
        "Migrations by whose status nothing can be told or decided.",
        (),
        {(): state.unread + there.not_counted},
    )
    yield _gauge(
        registry,
        "vms_needing_person",
        "VMs that are not well, with nothing that vmferry does about it, by the reason of the condition Stalled.",
        ("reason",),
        _by_one(NEEDS_PERSON, there.needing_person),
    )


def _of_the_cluster(registry: Registry, state: OperatorState) -> Iterator[Metric]:
    there = state.standing
    yield _gauge(
        registry,
        "queue_length",
        "Migrations that wait for their turn, by what is full.",
        ("waiting_for",),
        _by_one(_FULL, there.queued),
    )
    yield _gauge(
        registry,
        "queue_longest_wait_seconds",
        "For how long the one that has waited longest has waited for its turn.",
        (),
        {(): there.longest_wait.total_seconds()},
    )
    yield _gauge(
        registry,
        "node_sharing_migrations",
        "Migrations with a share of a node's bandwidth, by node and direction.",
        ("node", "direction"),
        there.sharing,
    )
    yield _gauge(
        registry,
        "node_shared_bytes_per_second",
        "The sum of their shares.",
        ("node", "direction"),
        there.shared,
    )
    yield _gauge(
        registry,
        "policies",
        "Policies, by the status of the condition Accepted.",
        ("accepted",),
        _by_one(Status, there.accepted),
    )


def _of_itself(registry: Registry, state: OperatorState) -> Iterator[Metric]:
    yield _gauge(registry, "leader", "Whether this operator leads.", (), {(): float(state.leads)})
    begun = registry.counter_family(
        "watch_streams_begun", "Streams of the watch; more than one means it was lost.", "kind"
    )
    for kind, watch in state.watches.items():
        begun.add_metric([kind], watch.streams_begun)
    yield begun
    dropped = registry.counter_family("events_dropped", "Events of Kubernetes that could not be written.")
    dropped.add_metric([], state.events_dropped)
    yield dropped
    yield _gauge(
        registry,
        "watch_heard_timestamp_seconds",
        "When the API server last told of anything.",
        ("kind",),
        {(kind,): each.heard_at.timestamp() for kind, each in state.watches.items() if each.heard_at},
    )
    yield _gauge(
        registry,
        "reconciles_queued",
        "Objects that are looked at just now, or are about to be.",
        ("kind",),
        {(kind,): each.queued for kind, each in state.watches.items()},
    )
    yield _gauge(
        registry,
        "listed_timestamp_seconds",
        "When all migrations and policies were last read in full.",
        (),
        {(): state.listed_at.timestamp()} if state.listed_at is not None else {},
    )


def _gauge(
    registry: Registry,
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    counted: Mapping[Values, float],
) -> GaugeMetricFamily:
    family = registry.gauge_family(name, documentation, *labels)
    for values, value in counted.items():
        family.add_metric(values, value)
    return family


def _by_one(expected: Iterable[Label], counted: Mapping[Label, float]) -> Mapping[tuple[Label], float]:
    """By one label; what is expected is shown with 0, too, so that its absence means something."""
    return {(each,): counted.get(each, 0) for each in dict.fromkeys([*expected, *counted])}
