"""What newer agents have written in words that this version does not know neither stops nor misleads it."""

import json
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import after, first_desired, migration, policy, running
from pydantic import ValidationError

from vmferry_api.migrations import VMMigration
from vmferry_operator.decisions.decide import Surroundings, decide

LADDER = policy(globalDefault=True, steps=[{"after": {"stalled": "5s"}, "setMaxDowntime": "2s"}])
STRANGE = st.sampled_from(["Strange", -7, 1.5, True, None, [], ["Strange"], {}, {"strange": {"deep": 1}}])
AROUND = Surroundings(policies=[LADDER], nodes=["node-a", "node-b"])


def stored() -> dict:
    """One that stalls, so that a step is due."""
    status = running(stalling_since=0, desired=first_desired(LADDER.spec))
    whole = migration(status)
    return {**json.loads(json.dumps(whole.as_json())), "status": json.loads(json.dumps(status.as_json()))}


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of all that is in it."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [each for name, inner in named for each in ((*path, name), *places(inner, (*path, name)))]


PLACES = places(stored()["status"])


@given(place=st.sampled_from(PLACES), strange=STRANGE, more=st.booleans())
def test_whatever_one_part_of_a_status_says_a_decision_is_made_or_it_is_left_alone(place, strange, more):
    raw = deepcopy(stored())
    holder = raw["status"]
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = strange
    if more:
        raw["status"]["weather"] = strange
    try:
        read = VMMigration.read(raw)
    except ValidationError:
        assert place[0] in {"desired", "attempts", "conditions"}  # orders, and entries of lists
        return
    before = raw["status"].get("desired")
    decided = decide(read, AROUND, now=after(20)).status.desired
    if isinstance(before, dict) and before.get("revision") and decided is not None:
        assert decided.revision >= before["revision"]


def test_a_step_is_taken_though_the_target_tells_of_its_vm_in_a_new_word():
    raw = stored()
    raw["status"]["target"]["vm"] = {"state": "Hibernating"}
    raw["status"]["phase"] = "Elsewhere"
    decided = decide(VMMigration.read(raw), AROUND, now=after(20)).status
    assert decided.phase == "Running"
    assert [each.step for each in decided.steps] == [1]
