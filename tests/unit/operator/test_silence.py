"""An agent that owes a report and has fallen silent is named, and nothing else follows from it."""

from datetime import datetime, timedelta

import pytest
from migrations_in_words import NOW, after, first_desired, migration, policy, running, source, target, vm

from vmferry_api.conditions import RECOVERY_EXHAUSTED, Condition, ConditionType, Status, find_condition
from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, VMMigration, VMMigrationStatus, VMState
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_operator.decisions.decide import Decision, Surroundings, decide, leases_wanted
from vmferry_operator.decisions.silence import AgentLease, Leases

DESIRED = first_desired(policy().spec)
INTERRUPTED = Condition(
    type=ConditionType.POST_COPY_INTERRUPTED, status=Status.TRUE, reason="LinkLost", last_transition_time=NOW
)
CUT_OFF = running(source=source(VMState.PAUSED, "PostCopyFailed"), desired=DESIRED, conditions=[INTERRUPTED])


def leases(**renewed: float) -> dict[str, AgentLease]:
    """The Leases of the agents of `a` and `b`, by when they were renewed last."""
    lasts = timedelta(seconds=40)
    return {f"node-{name}": AgentLease(renewed=after(at), lasts=lasts) for name, at in renewed.items()}


def with_managers(status: VMMigrationStatus, **heard: float) -> VMMigration:
    """The migration, with when the source's and the target's agent were heard of last."""
    names = {"source_heard": SOURCE_AGENT, "target_heard": TARGET_AGENT}
    managers = [{"manager": names[name], "time": after(seconds)} for name, seconds in heard.items()]
    return migration(status, {"managedFields": [*managers, {"manager": "kubectl", "time": after(1e6)}]})


def decided(status: VMMigrationStatus, *, at: float, known: Leases | None = None, **heard: float) -> Decision:
    """The decision at a time, by the agents' reports and what is known of their Leases."""
    around = Surroundings(policies=[], nodes=None, namespace_labels={}, leases=known or {})
    return decide(with_managers(status, **heard), around, now=after(at))


def told(decision: Decision, type_: ConditionType = ConditionType.RECONCILING) -> tuple[str, str]:
    found = find_condition(decision.status.conditions, type_)
    assert found is not None
    return found.reason, found.message


def look_again(decision: Decision, *, at: float) -> datetime | None:
    return None if decision.check_again is None else after(at) + decision.check_again


def confirming(target_message: str | None = None, *, unreachable: bool = False) -> VMMigrationStatus:
    """The source has closed its attempt, and the target is to look."""
    attempt = Attempt(number=1, start=NOW, end=after(9), outcome=AttemptOutcome.COMPLETED)
    seen = target(seen=vm(VMState.PAUSED, "Migration"))
    report = seen.replace(message=target_message, unreachable=unreachable)
    return running(
        attempts=[attempt], source=source(VMState.SHUT_OFF, "Migrated"), target=report, desired=DESIRED
    )


@pytest.mark.parametrize(("at", "reason"), [(39, "Migrating"), (40, "AgentSilent"), (9999, "AgentSilent")])
def test_a_source_s_agent_that_reports_nothing_of_a_running_attempt_is_named(at: float, reason: str) -> None:
    decision = decided(running(desired=DESIRED), at=at, source_heard=10, target_heard=at)
    assert told(decision)[0] == reason
    heard = decided(running(desired=DESIRED), at=at, source_heard=at)
    assert decision.status.desired == heard.status.desired


def test_it_is_looked_at_again_when_the_agent_counts_as_silent_and_then_whether_it_keeps_its_lease() -> None:
    assert look_again(decided(running(desired=DESIRED), at=20, source_heard=10), at=20) == after(40)
    assert look_again(decided(running(desired=DESIRED), at=41, source_heard=10), at=41) == after(51)


def test_a_report_that_is_yet_to_come_counts_for_nothing() -> None:
    assert told(decided(confirming(), at=100, source_heard=10, target_heard=9999))[0] == "AgentSilent"
    assert told(decided(running(desired=DESIRED), at=100, source_heard=9999))[0] == "Migrating"


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
    assert told(decided(CUT_OFF, at=9999, source_heard=10))[0] == "LinkLost"


@pytest.mark.parametrize(
    ("renewed", "says"),
    [
        ({}, "is it running there, and does its libvirt answer?"),
        ({"a": 81}, "though it keeps its Lease: it runs; does its libvirt answer?"),
        ({"a": 80}, "is it running there, and does its libvirt answer?"),
        (
            {"a": 12},
            "and its Lease has not been renewed since 12:00:12 UTC: node-a may have lost its power or its network",
        ),
    ],
)
def test_the_lease_of_a_silent_agent_tells_whether_it_lives(renewed: dict[str, float], says: str) -> None:
    reason, message = told(
        decided(running(desired=DESIRED), at=100, known=leases(**renewed), source_heard=10)
    )
    assert reason == "AgentSilent"
    assert message.endswith(says)


@pytest.mark.parametrize(
    ("renewed", "at", "silent"),
    [
        ({}, 9999, []),
        ({"a": 60, "b": 60}, 99, []),
        ({"a": 60, "b": 59}, 99, ["node-b"]),
        ({"a": 59, "b": 60}, 99, ["node-a"]),
        ({"b": 59}, 99, ["node-b"]),
        ({"a": 0, "b": 0}, 99, ["node-a", "node-b"]),
        ({"a": 3600, "b": 3600}, 99, []),
    ],
)
def test_while_post_copy_is_interrupted_an_agent_that_has_let_its_lease_lapse_is_named(
    renewed: dict[str, float], at: float, silent: list[str]
) -> None:
    decision = decided(CUT_OFF, at=at, known=leases(**renewed))
    reason, message = told(decision)
    assert reason == ("AgentSilent" if silent else "LinkLost")
    named = [node for node in ("node-a", "node-b") if f"the agent of {node} has been silent" in message]
    assert named == silent
    assert decision.status.phase == Phase.RECOVERING
    assert look_again(decision, at=at) == after(at + 10)


@pytest.mark.parametrize("blind", [["node-a"], ["node-b"], ["node-a", "node-b"], []])
def test_while_post_copy_is_interrupted_a_host_whose_libvirt_is_away_is_named_though_its_agent_lives(
    blind: list[str],
) -> None:
    seen_source, seen_target = source(VMState.PAUSED, "PostCopyFailed"), target()
    away = {"unreachable": True, "message": "libvirt can't be asked: no socket"}
    it = CUT_OFF.replace(
        source=seen_source.replace(**away) if "node-a" in blind else seen_source,
        target=seen_target.replace(**away) if "node-b" in blind else seen_target,
    )
    reason, message = told(decided(it, at=7200, known=leases(a=7195, b=7195), source_heard=10))
    assert reason == "LinkLost"
    named = [
        node for node in ("node-a", "node-b") if f"{node} says: libvirt can't be asked: no socket" in message
    ]
    assert named == blind
    assert ("vmferry can't take it up again while libvirt is away" in message) == bool(blind)


def test_of_a_target_lost_in_post_copy_both_sides_are_named_and_what_to_do_in_which_order() -> None:
    _, message = told(decided(CUT_OFF, at=99, known=leases(a=90, b=10)))
    assert "db-1 is half on node-a and half on node-b" in message
    assert message.endswith(
        "the agent of node-b has been silent: its Lease has not been renewed since 12:00:10 UTC: node-b may have "
        "lost its power or its network. If node-b is lost: db-1 then stands still on node-a for ever, since the "
        "rest of its memory was on node-b. Fence node-b first (see that it is off, or that db-1 is not started "
        "there), then destroy db-1 on node-a (there: virsh destroy db-1), and only then start it anywhere. "
        "vmferry destroys and starts nothing by itself"
    )


def test_of_two_silent_hosts_neither_is_said_to_be_the_lost_one() -> None:
    _, message = told(decided(CUT_OFF, at=99, known=leases(a=10, b=10)))
    assert "the agent of node-a has been silent" in message
    assert message.endswith(
        "See which of the two is off, and fence it, before anything is destroyed or started. vmferry destroys and "
        "starts nothing by itself"
    )


def test_names_as_long_as_they_may_be_do_not_make_a_message_that_the_api_refuses() -> None:
    node = "n" * 251
    lapsed = {f"{node}-{end}": AgentLease(renewed=NOW, lasts=timedelta(seconds=40)) for end in "ab"}
    it = migration(CUT_OFF, vm="v" * 253, sourceNode=f"{node}-a", targetNode=f"{node}-b")
    for known in (lapsed, {f"{node}-b": lapsed[f"{node}-b"]}):
        around = Surroundings(policies=[], nodes=None, namespace_labels={}, leases=known)
        reason, message = told(decide(it, around, now=after(99)))
        assert reason == "AgentSilent"
        assert len(message) <= 4096


def test_tries_that_are_used_up_are_shouted_about_with_the_silent_agent() -> None:
    exhausted = CUT_OFF.replace(conditions=[INTERRUPTED.replace(reason=RECOVERY_EXHAUSTED)])
    reason, message = told(decided(exhausted, at=99, known=leases(b=10)), ConditionType.STALLED)
    assert reason == RECOVERY_EXHAUSTED
    assert "Fence node-b first" in message


@pytest.mark.parametrize(
    ("status", "at", "nodes"),
    [
        (VMMigrationStatus(source=source()), 9999, []),
        (running(desired=DESIRED), 39, []),
        (running(desired=DESIRED), 40, ["node-a"]),
        (confirming(), 40, ["node-b"]),
        (CUT_OFF, 11, ["node-a", "node-b"]),
        (CUT_OFF.replace(phase=Phase.FAILED), 9999, []),
    ],
)
def test_leases_are_asked_for_only_where_something_depends_on_an_agent_s_life(
    status: VMMigrationStatus, at: float, nodes: list[str]
) -> None:
    assert leases_wanted(with_managers(status, source_heard=10), now=after(at)) == nodes


@pytest.mark.parametrize(("at", "reason"), [(39, "Confirming"), (40, "AgentSilent")])
def test_a_target_s_agent_owes_a_look_from_when_the_source_s_has_reported_the_end(
    at: float, reason: str
) -> None:
    decision = decided(confirming(), at=at, source_heard=10, target_heard=1)
    assert told(decision)[0] == reason
    assert ("the agent of node-b has reported nothing" in told(decision)[1]) == (reason == "AgentSilent")


AWAY = confirming("libvirt can't be asked: no socket", unreachable=True)


@pytest.mark.parametrize("at", [40, 9999])
@pytest.mark.parametrize("renewed", [1, 39])
def test_one_that_has_said_that_its_libvirt_is_away_is_not_silent_while_it_keeps_its_lease(
    at: float, renewed: float
) -> None:
    decision = decided(AWAY, at=at, known=leases(b=at - renewed), source_heard=10)
    reason, message = told(decision)
    assert reason == "Confirming"
    assert message.endswith("(node-b says: libvirt can't be asked: no socket)")
    assert look_again(decision, at=at) == after(at + 10)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (leases(b=60), "node-b may have lost its power or its network"),
        ({}, "is it running there, and does its libvirt answer?"),
    ],
)
def test_it_is_silent_where_it_is_not_known_to_have_its_lease_any_more(known: Leases, says: str) -> None:
    decision = decided(AWAY, at=100, known=known, source_heard=10)
    reason, message = told(decision)
    assert reason == "AgentSilent"
    assert (
        "(node-b says: libvirt can't be asked: no socket); the agent of node-b has reported nothing"
        in message
    )
    assert message.endswith(says)
    assert look_again(decision, at=100) == after(110)


def test_its_lease_is_asked_for_once_it_is_overdue() -> None:
    assert leases_wanted(with_managers(AWAY, source_heard=10), now=after(39)) == []
    assert leases_wanted(with_managers(AWAY, source_heard=10), now=after(40)) == ["node-b"]


def test_that_a_target_was_not_ready_does_not_excuse_its_silence() -> None:
    attempt = Attempt(
        number=1, start=NOW, end=after(9), outcome=AttemptOutcome.FAILED, error="socket is closed"
    )
    not_ready = confirming("node-b is receiving this VM in another migration; it is waited for")
    failed = not_ready.replace(attempts=[attempt], source=source(VMState.RUNNING, "MigrationCanceled"))
    decision = decided(failed, at=7200, known=leases(b=12), source_heard=10, target_heard=12)
    reason, message = told(decision)
    assert reason == "AgentSilent"
    assert "(node-b says: node-b is receiving this VM in another migration; it is waited for)" in message
    assert message.endswith("node-b may have lost its power or its network")
    assert look_again(decision, at=7200) == after(7210)


def test_an_agent_that_does_not_abort_is_named_too() -> None:
    status = running(desired=DESIRED)
    it = migration(status, {"managedFields": [{"manager": SOURCE_AGENT, "time": NOW}]}, cancel=True)
    decision = decide(it, Surroundings(policies=[], nodes=None, namespace_labels={}), now=after(60))
    reason, message = told(decision)
    assert reason == "AgentSilent"
    assert message.startswith(
        "waiting for the agent of node-a to abort: spec.cancel; the agent of node-a has"
    )
