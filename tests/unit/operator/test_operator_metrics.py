"""What the operator counts, as Prometheus reads it."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_kube.measuring import Failure
from vmferry_operator.decisions.actions import ActionName
from vmferry_operator.gauges import OperatorState, WatchState
from vmferry_operator.metrics import Metrics
from vmferry_operator.standing import Standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def scraped(metrics):
    """The samples by name and the labels' values."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name.removeprefix("vmferry_operator_"), *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def state(there, *, leads):
    watches = {"VMMigration": WatchState(streams_begun=2, heard_at=NOW, queued=3)}
    return OperatorState(
        leads=leads,
        standing=there,
        unread=1,
        policies=["p"],
        watches=watches,
        listed_at=NOW,
        events_dropped=4,
    )


@pytest.fixture
def following():
    """Metrics of a state that can be filled."""
    metrics, there = Metrics(), Standing()
    metrics.follow(lambda: state(there, leads=True))
    return metrics, there


def test_a_standby_tells_of_itself_and_leaves_what_stands_in_the_objects_to_the_one_that_leads():
    metrics, there = Metrics(), Standing()
    there.migrations["p", Phase.RUNNING] = 2
    metrics.follow(lambda: state(there, leads=False))
    now = scraped(metrics)
    assert now["leader",] == 0
    assert now["watch_streams_begun_total", "VMMigration"] == 2
    assert ("migrations", "Running", "p") not in now
    assert not {"policies", "queue_length", "queue_longest_wait_seconds"} & {name for name, *_ in now}


def test_what_is_is_asked_for_at_each_scrape(following):
    metrics, there = following
    there.migrations["p", Phase.RUNNING] = 2
    there.sharing["node-a", "out"], there.shared["node-a", "out"] = 2, 2**20
    there.longest_wait = timedelta(minutes=2)
    there.not_counted = 1
    now = scraped(metrics)
    assert now["leader",] == 1
    assert now["migrations", "Running", "p"] == 2
    assert now["migrations_unreadable",] == 2
    assert now["node_sharing_migrations", "node-a", "out"] == 2
    assert now["node_shared_bytes_per_second", "node-a", "out"] == 2**20
    assert now["queue_longest_wait_seconds",] == 120
    assert now["watch_streams_begun_total", "VMMigration"] == 2
    assert now["reconciles_queued", "VMMigration"] == 3
    assert now["events_dropped_total",] == 4
    assert now["watch_heard_timestamp_seconds", "VMMigration"] == now["listed_timestamp_seconds",]
    there.migrations["p", Phase.RUNNING] = 1
    assert scraped(metrics)["migrations", "Running", "p"] == 1


def test_what_can_be_counted_is_shown_as_0_before_it_happens(following):
    metrics, _ = following
    metrics.policy_seen("p")
    now = scraped(metrics)
    for phase in ("Succeeded", "Failed", "Cancelled"):
        assert now["migrations_ended_total", phase, "p"] == 0
        assert now["migration_duration_seconds_count", phase, "p"] == 0
    for outcome in AttemptOutcome:
        assert now["attempts_ended_total", *sorted([outcome, "p"])] == 0
    for action in ActionName:
        assert now["steps_total", *sorted([action, "Failed"])] == 0
    for name in ("migrations_nothing_left", "migrations_missing_deadline", "stalls_total"):
        assert now[name, "p"] == 0
    for name, label in (
        ("vms_needing_person", "VMFrozen"),
        ("post_copies_interrupted", "LinkLost"),
        ("migrations_agent_silent", "PostCopy"),
        ("queue_length", "perCluster"),
        ("policies", "False"),
        ("migrations_expected", "does_not_converge"),
    ):
        assert now[name, label] == 0


def test_work_with_the_api_server_is_counted_with_its_failures():
    metrics = Metrics()
    metrics.written("migration_status", seconds=0.1, failure=None)
    metrics.written("migration_status", seconds=0.1, failure=Failure.CONFLICT)
    metrics.reconciled("VMMigration", seconds=0.1, failure=Failure.UNEXPECTED)
    now = scraped(metrics)
    assert now["api_write_duration_seconds_count", "migration_status"] == 2
    assert now["api_write_failures_total", "conflict", "migration_status"] == 1
    assert now["reconcile_failures_total", "VMMigration", "unexpected"] == 1


@pytest.mark.parametrize("clocks_apart", [timedelta(0), timedelta(seconds=-5)])
def test_a_node_s_clock_that_is_ahead_makes_no_negative_times(clocks_apart):
    metrics = Metrics()
    metrics.migration_begun("p", waited=clocks_apart)
    metrics.revision_applied(took=clocks_apart)
    now = scraped(metrics)
    assert now["migration_wait_seconds_sum", "p"] == now["revision_apply_seconds_sum",] == 0
