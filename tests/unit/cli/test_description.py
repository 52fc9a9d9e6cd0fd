"""describe: the timeline, the conditions in words, and what a person can do now."""

import io

import pytest
from migrations_shown import DESIRED, RUNNING, at, condition, migration, policy, running, step, told
from rich.console import Console

from kubectl_vmferry.views.choices import choices
from kubectl_vmferry.views.conditions import meaning
from kubectl_vmferry.views.description import description
from kubectl_vmferry.views.timeline import timeline
from vmferry_api.conditions import Condition

STALLS = condition("MigrationStalling", message="it has not fallen for 4s", since=9)


def ended(phase="Succeeded", outcome="Completed", **changes):
    attempt = {"number": 1, "start": told(1), "end": told(20), "outcome": outcome, "downtime": "65ms"}
    attempt |= {"interrupted": "2s"} if "recovery" in changes else {}
    succeeded = phase == "Succeeded"
    conditions = [
        condition("Complete", "True" if succeeded else "False", "Migrated", "that is how it ended", since=20)
    ]
    return running(phase=phase, attempts=[attempt], conditions=conditions, **changes)


def test_the_timeline_has_what_happened_in_its_order_and_the_end_last():
    recovery = {"since": told(12), "end": told(14), "tries": 2, "error": "the link is cut"}
    entries = timeline(ended(steps=[step(10), step(21, step=None, outcome="Failed: no")], recovery=recovery))
    assert [(each.text, each.because) for each in entries] == [
        ("asked for: db-1 from node-a to node-b", ""),
        ("attempt 1 begins", ""),
        ("step 1: setMaxDowntime 100ms → 500ms (in force at once)", "stalled for 2s"),
        ("post-copy is interrupted", "the link is cut"),
        ("memory flows again after 2 tries", ""),
        ("attempt 1 ends: Completed, stopped for 65ms, interrupted for 2 s", ""),
        ("the planner: setMaxDowntime 100ms → 500ms (Failed: no)", "stalled for 2s"),
        ("Succeeded", "that is how it ended"),
    ]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([step(10, effective=told(13))], "in force after 3 s"),
        ([step(10, outcome="Pending", effective=None)], "not answered yet"),
    ],
)
def test_a_step_tells_when_it_was_in_force(steps, text):
    assert text in timeline(running(steps=steps))[-1].text


def test_stalling_and_a_deletion_are_in_the_timeline():
    raw = running(conditions=[STALLS])
    deleted = raw.replace(metadata=raw.metadata.replace(deletion_timestamp=at(30)))
    assert [each.text for each in timeline(deleted)][-2:] == [
        "stalling",
        "the object was deleted: that cancels",
    ]


@pytest.mark.parametrize(
    ("given", "good", "text"),
    [
        (("Accepted", "True"), True, "the policy can be carried out"),
        (("Accepted", "False"), False, "it can't be carried out as it is"),
        (("TargetReady", "Unknown", "WaitingForAgent"), None, "not known: WaitingForAgent"),
        (("MigrationStalling", "True"), False, "the needed downtime does not fall"),
        (("MigrationStalling", "False"), True, "it gets on"),
        (("Running", "False"), None, "no job runs in libvirt"),
        (("Reconciling", "True", "AgentSilent"), False, "an agent does not report"),
        (("Reconciling", "True", "HypervisorUnreachable"), False, "the agent does not reach its libvirt"),
        (("Newer", "True"), None, "Newer is True"),
    ],
)
def test_a_condition_means_something_in_words(given, good, text):
    meant = meaning(Condition.model_validate(condition(*given)))
    assert (meant.good, meant.text) == (good, text)


def test_after_the_end_nothing_is_said_of_what_does_not_stall():
    calm = Condition.model_validate(condition("MigrationStalling", "False", message="falls by 5 % a pass"))
    meant = meaning(calm, is_over=True)
    assert (meant.good, meant.text, meant.message) == (None, "", "")


def commands(shown):
    return [each.command.removeprefix("kubectl vmferry ") for each in choices(shown)]


WAITS = {**RUNNING, "phase": "Pending", "attempts": []}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (running(), ["watch db-1-to-node-b", "cancel db-1-to-node-b"]),
        (
            running(conditions=[STALLS]),
            [
                "watch db-1-to-node-b",
                "push db-1-to-node-b",
                "push db-1-to-node-b --max-downtime DURATION",
                "push db-1-to-node-b --allow-postcopy",
                "cancel db-1-to-node-b",
            ],
        ),
        (
            running(conditions=[STALLS], desired={**DESIRED, "postCopyAllowed": False}, progress=None),
            ["watch db-1-to-node-b", "push db-1-to-node-b", "cancel db-1-to-node-b"],
        ),
        (
            running(conditions=[condition("Reconciling", reason="AgentSilent")]),
            ["doctor", "watch db-1-to-node-b", "cancel db-1-to-node-b"],
        ),
        (running(phase="PostCopy"), ["watch db-1-to-node-b", "doctor"]),
        (
            ended(),
            ["migrate db-1 --from node-b --to node-a", "kubectl delete vmmig -n default db-1-to-node-b"],
        ),
    ],
)
def test_what_can_be_done_is_told_as_commands(shown, expected):
    assert commands(shown) == expected


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        ("PolicyNotFound", "kubectl get migpol"),
        ("HypervisorUnreachable", "doctor"),
        ("TargetNotReady", ""),
    ],
)
def test_one_that_waits_tells_how_to_get_it_going(reason, first):
    waits = migration({**WAITS, "conditions": [condition("Reconciling", reason=reason)]})
    assert commands(waits)[0] == first
    assert commands(waits)[-2:] == ["explain db-1-to-node-b", "cancel db-1-to-node-b"]


def test_one_that_is_queued_can_be_let_go_first():
    waits = migration({**WAITS, "conditions": [condition("Reconciling", reason="Queued")]}, namespace="prod")
    patch = '{"spec":{"overrides":{"queuePriority":60}}}'
    assert commands(waits)[0] == f"kubectl patch vmmig -n prod db-1-to-node-b --type=merge -p '{patch}'"
    assert commands(waits)[-1] == "cancel -n prod db-1-to-node-b"


@pytest.mark.parametrize("reason", ["VMOnBothHosts", "VMLost"])
def test_nothing_is_advised_where_a_person_must_look_first(reason):
    failed = running(phase="Failed", conditions=[condition("Stalled", reason=reason)])
    assert commands(failed) == [""]


@pytest.mark.parametrize(
    ("reason", "there", "advice"),
    [
        ("VMNotFound", "Running", "it is on node-b already"),
        ("VMNotFound", "Absent", "see the names of nodes"),
        ("NodeNotFound", "Absent", "see the names of nodes"),
        ("VMNotRunning", "Absent", "start it on node-a and ask anew, if it is to run"),
    ],
)
def test_what_would_fail_again_in_the_same_way_is_not_advised(reason, there, advice):
    failed = running(
        phase="Failed",
        conditions=[condition("Stalled", reason=reason)],
        target={"ready": False, "vm": {"state": there}},
    )
    assert [each.why for each in choices(failed)] == [advice, "forget it"]


def test_an_exhausted_recovery_names_the_policy_to_raise():
    frozen = running(phase="Recovering", conditions=[condition("Stalled", reason="RecoveryExhausted")])
    assert commands(frozen)[0] == "kubectl edit migpol patient"


def test_the_whole_has_both_hosts_and_each_part():
    out = io.StringIO()
    shown = running(steps=[step(10)], spec=None)
    Console(file=out, width=120).print(description(shown, policy(maxDowntime="100ms").spec, at(30)))
    text = out.getvalue()
    for part in (
        "VM         db-1, node-a → node-b (1.0 GiB, 1 vCPU)",
        "Policy     patient (generation 1): named by spec.policyRef",
        "Now",
        "Timeline",
        "1   12:00:01   29 s   runs",
        "needed downtime from pass 2 to 6: 2.56s █▁ 1.28s",
        "node-a (source)",
        "carried out",
        "PreCopy, maxDowntime 100ms, at most 50 MiB/s, post-copy possible",
        "What you can do",
    ):
        assert part in text


def test_what_a_host_last_told_is_told_as_that_while_its_libvirt_can_not_be_asked():
    out = io.StringIO()
    source = {"vm": {"state": "Running"}, "unreachable": True, "message": "no socket"}
    Console(file=out, width=160).print(description(running(source=source), None, at(30)))
    assert "Running, as last seen: libvirt can't be asked" in out.getvalue()
    assert "no socket" in out.getvalue()


def test_an_object_that_nobody_has_looked_at_can_be_described():
    out = io.StringIO()
    Console(file=out, width=120).print(description(migration(), None, at(30)))
    assert "not heard of yet" in out.getvalue()
    assert "has the operator seen it? kubectl vmferry doctor" in out.getvalue()
