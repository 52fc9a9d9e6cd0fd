"""The operator's metrics."""

from collections.abc import Callable
from datetime import timedelta

from typing_extensions import override

from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_kube.measuring import Failure
from vmferry_kube.metrics import WRITE_SECONDS, Registry
from vmferry_operator.decisions.actions import ActionName
from vmferry_operator.decisions.records import APPLIED, FAILED, OVERTAKEN, WITHDRAWN
from vmferry_operator.decisions.select import BUILT_IN
from vmferry_operator.gauges import OperatorState, families
from vmferry_operator.measurements import Measurements
from vmferry_operator.standing import NO_POLICY
from vmferry_operator.tallies import outcome_word

_MIGRATION_SECONDS = (5, 10, 20, 40, 60, 120, 300, 600, 1200, 2400, 3600, 7200, 14400)
"""From a small idle VM to a terabyte over a slow link."""
_WAIT_SECONDS = (1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 14400)
_DOWNTIME_SECONDS = (0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)
"""The policies' usual limits are bounds."""
_INTERRUPTION_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""From one that TCP mends to one that waits for a person."""
_APPLY_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60)
_RECONCILE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)
_OUTCOMES = tuple(outcome_word(each) for each in (APPLIED, FAILED, WITHDRAWN, OVERTAKEN))


class Metrics(Measurements):
    """Counts what happens; what is, it asks for at each scrape."""

    def __init__(self) -> None:
        self._registry = registry = Registry("vmferry_operator")
        self._waits = registry.histogram(
            "migration_wait_seconds",
            "From the creation of a migration to the start of its first attempt.",
            "policy",
            buckets=_WAIT_SECONDS,
        )
        self._durations = registry.histogram(
            "migration_duration_seconds",
            "From the start of a migration's first attempt to the end of its last one.",
            "policy",
            "phase",
            buckets=_MIGRATION_SECONDS,
        )
        self._downtimes = registry.histogram(
            "downtime_seconds",
            "How long guests stood still that have moved.",
            "policy",
            buckets=_DOWNTIME_SECONDS,
        )
        self._interruption_lengths = registry.histogram(
            "post_copy_interruption_seconds",
            "For how long nothing flowed in an interruption of post-copy.",
            "policy",
            buckets=_INTERRUPTION_SECONDS,
        )
        self._ended = registry.counter("migrations_ended", "Migrations that are over.", "policy", "phase")
        self._failures = registry.counter("migration_failures", "Migrations that have failed.", "reason")
        self._attempts = registry.counter(
            "attempts_ended", "Attempts that have ended, by outcome.", "policy", "outcome"
        )
        self._sent = registry.counter("transferred_bytes", "Sent by attempts that have ended.", "policy")
        self._stalls = registry.counter("stalls", "How often a migration has begun to stall.", "policy")
        self._interruptions = registry.counter(
            "post_copy_interruptions", "Interrupted post-copies.", "policy"
        )
        self._steps = registry.counter(
            "steps", "Steps that were taken, once they have come to an outcome.", "action", "outcome"
        )
        self._decided = registry.counter("revisions_decided", "Revisions of what is desired.")
        self._applied = registry.histogram(
            "revision_apply_seconds",
            "From the decision on a revision to the report that the host has carried it out.",
            buckets=_APPLY_SECONDS,
        )
        self._writes = registry.histogram(
            "api_write_duration_seconds", "Writes to the API server.", "write", buckets=WRITE_SECONDS
        )
        self._write_failures = registry.counter(
            "api_write_failures", "Writes that failed and are tried again.", "write", "reason"
        )
        self._reconciles = registry.histogram(
            "reconcile_duration_seconds",
            "Looks at an object, with what was written.",
            "kind",
            buckets=_RECONCILE_SECONDS,
        )
        self._reconcile_failures = registry.counter(
            "reconcile_failures", "Looks that failed and are done again.", "kind", "reason"
        )
        self._begin_at_0()

    def follow(self, state: Callable[[], OperatorState]) -> None:
        """Ask this for what is, at each scrape."""
        self._registry.at_each_scrape(lambda: families(self._registry, state()))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return self._registry.text()

    @override
    def policy_seen(self, policy: str) -> None:
        for phase in Phase:
            if phase.terminal:
                self._ended.labels(policy, phase)
                self._durations.labels(policy, phase)
        for outcome in AttemptOutcome:
            self._attempts.labels(policy, outcome)
        for counter in (self._sent, self._stalls, self._interruptions):
            counter.labels(policy)

    @override
    def migration_begun(self, policy: str, *, waited: timedelta) -> None:
        self._waits.labels(policy).observe(max(0.0, waited.total_seconds()))

    @override
    def migration_ended(self, policy: str, phase: Phase, *, took: timedelta | None) -> None:
        self._ended.labels(policy, phase).inc()
        if took is not None:
            self._durations.labels(policy, phase).observe(took.total_seconds())

    @override
    def migration_failed(self, reason: str) -> None:
        self._failures.labels(reason).inc()

    @override
    def attempt_ended(self, policy: str, outcome: AttemptOutcome, *, sent: int | None) -> None:
        self._attempts.labels(policy, outcome).inc()
        self._sent.labels(policy).inc(sent or 0)

    @override
    def guest_stopped(self, policy: str, downtime: timedelta) -> None:
        self._downtimes.labels(policy).observe(downtime.total_seconds())

    @override
    def stalled(self, policy: str) -> None:
        self._stalls.labels(policy).inc()

    @override
    def post_copy_interrupted(self, policy: str) -> None:
        self._interruptions.labels(policy).inc()

    @override
    def post_copy_stood_still(self, policy: str, lasted: timedelta) -> None:
        self._interruption_lengths.labels(policy).observe(lasted.total_seconds())

    @override
    def step_settled(self, action: str, outcome: str) -> None:
        self._steps.labels(action, outcome).inc()

    @override
    def revision_decided(self) -> None:
        self._decided.inc()

    @override
    def revision_applied(self, *, took: timedelta) -> None:
        self._applied.observe(max(0.0, took.total_seconds()))

    @override
    def written(self, what: str, *, seconds: float, failure: Failure | None) -> None:
        self._writes.labels(what).observe(seconds)
        if failure is not None:
            self._write_failures.labels(what, failure).inc()

    @override
    def reconciled(self, kind: str, *, seconds: float, failure: Failure | None) -> None:
        self._reconciles.labels(kind).observe(seconds)
        if failure is not None:
            self._reconcile_failures.labels(kind, failure).inc()

    def _begin_at_0(self) -> None:
        """What is shown from the start, so that the first one is an increase."""
        self.policy_seen(BUILT_IN)
        self.policy_seen(NO_POLICY)
        for action in ActionName:
            for outcome in _OUTCOMES:
                self._steps.labels(action, outcome)
