"""The watch without a terminal: a line for each change, and none for what stays."""

import pytest
from migrations_shown import PROGRESS, RUNNING, condition, migration, running, step

from kubectl_vmferry.views.changes import changes

STALLS = condition("MigrationStalling", reason="NotConverging", message="it has not fallen for 4s", since=9)
MOVING = RUNNING["conditions"][0]


def test_what_is_seen_first_is_told_in_the_operators_words():
    assert changes(None, migration()) == ["New: not seen yet by the operator"]
    assert changes(None, running())[0] == "Running: db-1 is moving to node-b"


def test_nothing_is_told_of_what_stays():
    assert changes(running(), running()) == []


def test_a_pass_is_told_with_what_is_needed_and_what_is_granted():
    now = running(progress={**PROGRESS, "pass": 7})
    assert changes(running(), now) == ["pass 7, 62 %, sent 400 MiB, needed downtime 1.28s, granted 100ms"]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ([MOVING], [MOVING, STALLS], ["MigrationStalling=True: it has not fallen for 4s"]),
        (
            [MOVING, STALLS],
            [MOVING, {**STALLS, "status": "False"}],
            ["MigrationStalling=False: it gets on again"],
        ),
        ([MOVING], [MOVING, {**STALLS, "status": "False"}], []),
        (
            [MOVING],
            [condition("Reconciling", reason="AgentSilent", message="the agent of node-a is silent")],
            ["AgentSilent: the agent of node-a is silent"],
        ),
        (
            [MOVING],
            [MOVING, condition("Accepted", "False", "PolicyNotFound", "there is no such policy")],
            ["Accepted=False: there is no such policy"],
        ),
    ],
)
def test_a_condition_is_told_when_it_turns(before, after, lines):
    assert changes(running(conditions=before), running(conditions=after)) == lines


def test_a_step_is_told_with_its_reason_and_again_only_if_it_comes_to_nothing():
    pending = running(steps=[step(10, outcome="Pending")])
    assert changes(running(), pending) == ["step 1: setMaxDowntime 100ms → 500ms, because: stalled for 2s"]
    assert changes(pending, running(steps=[step(10)])) == []
    failed = running(steps=[step(10, outcome="Failed: libvirt said no")])
    assert changes(pending, failed) == ["step 1: setMaxDowntime 100ms → 500ms: Failed: libvirt said no"]


def test_what_the_planner_does_has_no_place_in_a_list():
    (line,) = changes(running(), running(steps=[step(10, step=None)]))
    assert line.startswith("the planner: setMaxDowntime")


def test_the_end_is_the_last_line():
    done = running(
        phase="Succeeded",
        steps=[step(10)],
        conditions=[condition("Complete", reason="Migrated", message="db-1 runs on node-b")],
    )
    assert changes(running(), done)[-1] == "Succeeded: db-1 runs on node-b"


def test_a_place_in_the_queue_is_told_when_it_changes():
    queue = {"position": 2, "since": "2026-11-30T12:00:00Z", "waitingFor": "perCluster", "message": "20 run"}
    waiting = running(phase="Pending", queue=queue)
    assert "place 2 in the queue: 20 run" in changes(running(phase="Pending"), waiting)
    assert changes(waiting, waiting) == []
