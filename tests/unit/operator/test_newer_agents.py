"""What newer agents have written in words that this version does not know neither stops nor misleads it."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from migrations_in_words import NOW, after, first_desired, migration, policy, running
from pydantic import ValidationError

from strange_statuses import PRE_COPY, STRANGE, changed, places, stored
from vmferry_api.migrations import StepRecord, VMMigration
from vmferry_operator.decisions.actions import ActionName
from vmferry_operator.decisions.decide import Surroundings, decide
from vmferry_operator.decisions.records import action

LADDER = policy(globalDefault=True, steps=[{"after": {"stalled": "5s"}, "setMaxDowntime": "2s"}])
AROUND = Surroundings(policies=[LADDER], nodes=["node-a", "node-b"])
STORED = stored(PRE_COPY)


def stalling() -> dict:
    """One that stalls, so that a step is due."""
    status = running(stalling_since=0, desired=first_desired(LADDER.spec))
    whole = migration(status)
    return {**json.loads(json.dumps(whole.as_json())), "status": json.loads(json.dumps(status.as_json()))}


@settings(max_examples=300)
@given(
    place=st.sampled_from(places(STORED["status"], ("status",))),
    strange=st.sampled_from(STRANGE),
    more=st.booleans(),
)
def test_whatever_one_part_of_a_status_says_a_decision_is_made_or_it_is_left_alone(place, strange, more):
    raw = changed(STORED, (place, strange), *[(("status", "weather"), strange)] * more)
    try:
        read = VMMigration.read(raw)
    except ValidationError:
        assert place[1] in {"desired", "attempts"}  # orders, and what must not be forgotten
        return
    before = raw["status"].get("desired")
    decided = decide(read, AROUND, now=after(600)).status.desired
    if isinstance(before, dict) and before.get("revision") and decided is not None:
        assert decided.revision >= before["revision"]


def test_a_step_is_taken_though_the_target_tells_of_its_vm_in_a_new_word():
    raw = stalling()
    raw["status"]["target"]["vm"] = {"state": "Hibernating"}
    raw["status"]["phase"] = "Elsewhere"
    decided = decide(VMMigration.read(raw), AROUND, now=after(20)).status
    assert decided.phase == "Running"
    assert [each.step for each in decided.steps] == [1]


def test_a_step_in_new_words_or_with_a_value_that_means_nothing_here_is_no_step_of_this_version():
    for words, value in (
        ("holdBreath 3s", "3s"),
        ("", None),
        ("setMaxDowntime 1s → later", "later"),
        ("setBandwidth 1Gi → plenty", None),
        ("restart with all", '{"compression":"LZ4"}'),
    ):
        step = StepRecord(time=NOW, trigger="t", action=words, value=value, revision=2)
        assert action(step).name is ActionName.OTHER
        raw = changed(STORED, (("status", "steps"), [step.as_json()]))
        assert decide(VMMigration.read(raw), AROUND, now=after(600)).status.steps[0].action == words
