"""An agent that owes a report and has fallen silent is named, and nothing else follows from it."""

from datetime import datetime, timedelta

import pytest
from migrations_in_words import NOW, after, first_desired, migration, policy, running, source, target, vm

from vmferry_api.conditions import Condition, ConditionType, Status, find_condition
from vmferry_api.migrations import Attempt, AttemptOutcome, VMMigrationStatus, VMState
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_operator.decisions.decide import Decision, Surroundings, decide

DESIRED = first_desired(policy().spec)
INTERRUPTED = Condition(
    type=ConditionType.POST_COPY_INTERRUPTED, status=Status.TRUE, reason="LinkLost", last_transition_time=NOW
)


def decided(status: VMMigrationStatus, *, at: float, **heard: float) -> Decision:
    """The decision at a time, with when the source's and the target's agent were heard of last."""
    names = {"source_heard": SOURCE_AGENT, "target_heard": TARGET_AGENT}
    managers = [{"manager": names[name], "time": after(seconds)} for name, seconds in heard.items()]
    it = migration(status, {"managedFields": [*managers, {"manager": "kubectl", "time": after(1e6)}]})
    return decide(it, Surroundings(policies=[], nodes=None, namespace_labels={}), now=after(at))


def told(decision: Decision) -> tuple[str, str]:
    found = find_condition(decision.status.conditions, ConditionType.RECONCILING)
    assert found is not None
    return found.reason, found.message


def look_again(decision: Decision, *, at: float) -> datetime | None:
    return None if decision.check_again is None else after(at) + decision.check_again


def confirming(target_message: str | None = None) -> VMMigrationStatus:
    """The source has closed its attempt, and the target is to look."""
    attempt = Attempt(number=1, start=NOW, end=after(9), outcome=AttemptOutcome.COMPLETED)
    report = target(seen=vm(VMState.PAUSED, "Migration")).replace(message=target_message)
    return running(
        attempts=[attempt], source=source(VMState.SHUT_OFF, "Migrated"), target=report, desired=DESIRED
    )


@pytest.mark.parametrize(("at", "reason"), [(39, "Migrating"), (40, "AgentSilent"), (9999, "AgentSilent")])
def test_a_source_s_agent_that_reports_nothing_of_a_running_attempt_is_named(at: float, reason: str) -> None:
    decision = decided(running(desired=DESIRED), at=at, source_heard=10, target_heard=at)
    assert told(decision)[0] == reason
    heard = decided(running(desired=DESIRED), at=at, source_heard=at)
    assert decision.status.desired == heard.status.desired


def test_it_is_looked_at_again_when_the_agent_counts_as_silent() -> None:
    assert look_again(decided(running(desired=DESIRED), at=20, source_heard=10), at=20) == after(40)
    assert look_again(decided(running(desired=DESIRED), at=41, source_heard=10), at=41) is None


def test_the_message_says_what_goes_on_since_when_and_where_to_look() -> None:
    _, message = told(decided(running(desired=DESIRED), at=100, source_heard=10))
    assert message == (
        "db-1 is moving to node-b; the agent of node-a has reported nothing since 12:00:10 UTC; is it running "
        "there, and does its libvirt answer?"
    )


def test_one_that_is_to_report_seldom_is_given_longer() -> None:
    seldom = running(desired=DESIRED.replace(report_every=timedelta(seconds=16)))
    assert told(decided(seldom, at=89, source_heard=10))[0] == "Migrating"
    assert told(decided(seldom, at=90, source_heard=10))[0] == "AgentSilent"


def test_what_was_never_heard_of_is_not_said_to_be_silent() -> None:
    assert told(decided(running(desired=DESIRED), at=9999))[0] == "Migrating"


def test_a_clock_that_is_ahead_makes_nobody_silent() -> None:
    assert told(decided(running(desired=DESIRED), at=0, source_heard=3600))[0] == "Migrating"


def test_while_post_copy_is_interrupted_there_is_nothing_to_report() -> None:
    status = running(source=source(VMState.PAUSED, "PostCopyFailed"), desired=DESIRED)
    cut_off = status.replace(conditions=[INTERRUPTED])
    assert told(decided(cut_off, at=9999, source_heard=10))[0] == "LinkLost"


@pytest.mark.parametrize(("at", "reason"), [(39, "Confirming"), (40, "AgentSilent")])
def test_a_target_s_agent_owes_a_look_from_when_the_source_s_has_reported_the_end(
    at: float, reason: str
) -> None:
    decision = decided(confirming(), at=at, source_heard=10, target_heard=1)
    assert told(decision)[0] == reason
    assert ("the agent of node-b has reported nothing" in told(decision)[1]) == (reason == "AgentSilent")


def test_one_that_has_said_that_its_libvirt_is_away_is_not_silent() -> None:
    reason, message = told(decided(confirming("libvirt can't be asked"), at=9999, source_heard=10))
    assert reason == "Confirming"
    assert "node-b says: libvirt can't be asked" in message


def test_an_agent_that_does_not_abort_is_named_too() -> None:
    status = running(desired=DESIRED)
    it = migration(status, {"managedFields": [{"manager": SOURCE_AGENT, "time": NOW}]}, cancel=True)
    decision = decide(it, Surroundings(policies=[], nodes=None, namespace_labels={}), now=after(60))
    reason, message = told(decision)
    assert reason == "AgentSilent"
    assert message.startswith(
        "waiting for the agent of node-a to abort: spec.cancel; the agent of node-a has"
    )
