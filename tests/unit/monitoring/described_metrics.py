"""What the code says of its metrics, with everything counted once, so that each shows its labels."""

from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from vmferry_agent.metrics import AgentState, RoleState
from vmferry_agent.metrics import Metrics as AgentMetrics
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_kube.measuring import Failure
from vmferry_operator.gauges import OperatorState, WatchState
from vmferry_operator.metrics import Metrics as OperatorMetrics
from vmferry_operator.standing import Standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def operator_text() -> str:
    """Of an operator to which everything has happened."""
    metrics = OperatorMetrics()
    there = Standing()
    there.sharing["node-a", "out"] = 1
    there.shared["node-a", "out"] = 2**20
    watches = {"VMMigration": WatchState(streams_begun=1, heard_at=NOW, queued=0)}
    metrics.follow(
        lambda: OperatorState(
            leads=True,
            standing=there,
            unread=0,
            policies=["p"],
            watches=watches,
            listed_at=NOW,
            events_dropped=0,
        )
    )
    metrics.migration_begun("p", waited=SECOND)
    metrics.migration_ended("p", Phase.FAILED, took=SECOND)
    metrics.migration_failed("Aborted")
    metrics.guest_stopped("p", SECOND)
    metrics.post_copy_stood_still("p", SECOND)
    metrics.written("migration_status", seconds=1, failure=Failure.REFUSED)
    metrics.reconciled("VMMigration", seconds=1, failure=Failure.REFUSED)
    return metrics.text().decode()


def agent_text() -> str:
    """Of an agent to which everything has happened."""
    metrics = AgentMetrics()
    role = RoleState(
        name="source",
        phases=[Phase.RUNNING],
        stalling=0,
        writes_waiting=0,
        streams_begun=1,
        heard_at=NOW,
    )
    metrics.follow(lambda: AgentState(roles=[role], lease_renewed_at=NOW))
    metrics.follow_certificates(lambda: {"/etc/pki/qemu/server-cert.pem": NOW})
    metrics.libvirt_called("jobStats", seconds=1, error="68")
    metrics.status_written("source", seconds=1, failure=Failure.REFUSED)
    metrics.attempt_ended(AttemptOutcome.COMPLETED)
    return metrics.text().decode()


def described(text: str) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric of vmferry's own, as the page names it."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if name.startswith("vmferry_"):
            assert family.samples, f"{name} shows nothing"
            found[name] = family.type, labels
    return found
