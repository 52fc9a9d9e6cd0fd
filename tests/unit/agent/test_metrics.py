"""What the agent counts, as Prometheus reads it."""

import asyncio
import contextlib
from datetime import UTC, datetime

import libvirt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from vmferry_agent.hypervisor.libvirt_measuring import timed
from vmferry_agent.metrics import AgentState, Metrics, RoleState
from vmferry_agent.tallies import tally
from vmferry_api.conditions import ConditionType, Status, condition
from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, VMMigrationStatus
from vmferry_kube.measuring import Failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDLE = AgentState(roles=[], lease_renewed_at=None)


def scraped(metrics):
    """The samples by name and labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_ends_of_certificates_are_read_at_each_scrape():
    metrics = Metrics()
    ends = {}
    metrics.follow_certificates(lambda: ends)
    assert "vmferry_agent_certificate_expiry_timestamp_seconds" not in {name for name, *_ in scraped(metrics)}
    ends["cert.pem"] = NOW
    assert (
        scraped(metrics)["vmferry_agent_certificate_expiry_timestamp_seconds", "cert.pem"] == NOW.timestamp()
    )


def test_what_is_is_asked_for_at_each_scrape():
    metrics = Metrics()
    states = [
        AgentState(
            roles=[
                RoleState(
                    name="source",
                    phases=[Phase.RUNNING, Phase.RUNNING, Phase.PENDING],
                    stalling=1,
                    writes_waiting=2,
                    streams_begun=3,
                    heard_at=NOW,
                )
            ],
            lease_renewed_at=NOW,
        )
    ]
    metrics.follow(lambda: states[-1])
    now = scraped(metrics)
    assert now["vmferry_agent_migrations", "Running", "source"] == 2
    assert now["vmferry_agent_migrations", "PostCopy", "source"] == 0
    assert now["vmferry_agent_migrations_stalling", "source"] == 1
    assert now["vmferry_agent_status_writes_waiting", "source"] == 2
    assert now["vmferry_agent_watch_streams_begun_total", "source"] == 3
    assert now["vmferry_agent_watch_heard_timestamp_seconds", "source"] == NOW.timestamp()
    assert now["vmferry_agent_lease_renewed_timestamp_seconds",] == NOW.timestamp()
    states.append(IDLE)
    assert ("vmferry_agent_migrations", "Running", "source") not in scraped(metrics)


def test_it_tells_what_memory_the_process_has():
    assert scraped(Metrics())["process_resident_memory_bytes",] > 10_000_000


def refused():
    error = libvirt.libvirtError("refused")
    error.err = (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_FROM_QEMU, "cannot acquire state change lock")
    return error


@pytest.mark.parametrize(
    ("raised", "code"), [(None, None), (refused(), "68"), (TimeoutError(), "deadline"), (ValueError(), None)]
)
def test_a_call_of_libvirt_counts_with_the_number_of_its_error(raised, code):
    metrics = Metrics()
    with contextlib.suppress(Exception), timed("jobStats", metrics):
        if raised is not None:
            raise raised
    found = scraped(metrics)
    assert found["vmferry_agent_libvirt_call_duration_seconds_count", "jobStats"] == 1
    errors = {name[1]: value for name, value in found.items() if name[0].endswith("call_errors_total")}
    assert errors == ({code: 1} if code else {})


def test_a_call_that_is_cancelled_is_no_error():
    metrics = Metrics()
    with pytest.raises(asyncio.CancelledError), timed("migrateToURI3", metrics):
        raise asyncio.CancelledError
    assert scraped(metrics)["vmferry_agent_libvirt_call_duration_seconds_count", "migrateToURI3"] == 1


def test_writes_are_counted_by_role_and_failures_by_reason():
    metrics = Metrics()
    for failure in (None, Failure.CONFLICT, Failure.CONFLICT):
        metrics.status_written("target", seconds=0.1, failure=failure)
    found = scraped(metrics)
    assert found["vmferry_agent_status_write_duration_seconds_count", "target"] == 3
    assert found["vmferry_agent_status_write_failures_total", "conflict", "target"] == 2


def status(*outcomes, interrupted=False):
    told = condition(
        [], ConditionType.POST_COPY_INTERRUPTED, Status.of(interrupted), "Reason", "message", now=NOW
    )
    attempts = [
        Attempt(number=number, start=NOW, end=NOW if outcome else None, outcome=outcome)
        for number, outcome in enumerate(outcomes, 1)
    ]
    return VMMigrationStatus(attempts=attempts, conditions=[told])


ABORTED, COMPLETED = AttemptOutcome.ABORTED, AttemptOutcome.COMPLETED


@pytest.mark.parametrize(
    ("before", "now", "ended", "interruptions"),
    [
        (status(None), status(None), {}, 0),
        (status(None), status(ABORTED), {ABORTED: 1}, 0),
        (status(ABORTED), status(ABORTED), {}, 0),
        (status(ABORTED, None), status(ABORTED, COMPLETED), {COMPLETED: 1}, 0),
        (status(None), status(None, interrupted=True), {}, 1),
        (status(None, interrupted=True), status(None, interrupted=True), {}, 0),
        (status(None, interrupted=True), status(None), {}, 0),
    ],
)
def test_what_happens_to_a_migration_counts_once(before, now, ended, interruptions):
    metrics = Metrics()
    tally(before, now, metrics)
    found = scraped(metrics)
    counted = {
        outcome: found["vmferry_agent_attempts_ended_total", outcome]
        for outcome in AttemptOutcome
        if found["vmferry_agent_attempts_ended_total", outcome]
    }
    assert counted == ended
    assert found["vmferry_agent_post_copy_interruptions_total",] == interruptions
