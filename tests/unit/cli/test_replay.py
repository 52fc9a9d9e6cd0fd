"""What policies decide on recorded migrations, and when: a table that reads as the specification."""

from dataclasses import dataclass

import pytest
from simulated_guests import TRACES, policy, preset, recording

from kubectl_vmferry.simulation.replay import replay_setting
from kubectl_vmferry.simulation.results import OutcomeName, Result
from kubectl_vmferry.simulation.simulate import simulate


@dataclass(frozen=True, kw_only=True)
class Case:
    reason: str
    trace: str
    spec: dict[str, object]
    decisions: list[tuple[float, str, str | None]]
    outcome: OutcomeName
    at: float
    why: str


def replay(trace: str, spec: dict[str, object]) -> Result:
    return simulate("p", policy(**spec), replay_setting(recording(trace)))


CASES = [
    Case(
        reason="an idle guest leaves before anything is due",
        trace="idle",
        spec={"steps": [{"after": {"stalled": "3s"}, "abort": {}}]},
        decisions=[],
        outcome=OutcomeName.TRACE_ENDED,
        at=4.0,
        why="it completed, recorded with a downtime limit of 300ms",
    ),
    Case(
        reason="a lower limit than the recorded one may have kept it from completing, and that is told",
        trace="borderline",
        spec={"maxDowntime": "100ms"},
        decisions=[],
        outcome=OutcomeName.TRACE_ENDED,
        at=13.7,
        why="with the 100ms granted here it may have gone on",
    ),
    Case(
        reason="a guest that converges slowly never stalls",
        trace="borderline",
        spec={"stallingLimit": "3s", "steps": [{"after": {"stalled": "0s"}, "abort": {}}]},
        decisions=[],
        outcome=OutcomeName.TRACE_ENDED,
        at=13.7,
        why="it completed",
    ),
    Case(
        reason="a limit above what is needed lets QEMU complete then",
        trace="borderline",
        spec={"maxDowntime": "500ms"},
        decisions=[],
        outcome=OutcomeName.WOULD_SWITCH_OVER,
        at=11.5,
        why="500ms are granted, 491ms are needed",
    ),
    Case(
        reason="a hopeless guest stalls soon after its second pass, and the steps follow",
        trace="nonconverging",
        spec={
            "stallingLimit": "3s",
            "steps": [
                {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"},
                {"after": {"stalled": "2s"}, "setMaxDowntime": "2s"},
            ],
        },
        decisions=[(7, "setMaxDowntime", "500ms"), (9.1, "setMaxDowntime", "2s")],
        outcome=OutcomeName.WOULD_SWITCH_OVER,
        at=9.2,
        why="2s are granted, 1.279s are needed",
    ),
    Case(
        reason="an abort ends it",
        trace="nonconverging",
        spec={"steps": [{"after": {"passes": 5}, "abort": {}}]},
        decisions=[(5.5, "abort", None)],
        outcome=OutcomeName.WOULD_ABORT,
        at=5.5,
        why="step 1, pass 5 reached: abort",
    ),
    Case(
        reason="so does a timeout, which the agent enforces by itself",
        trace="nonconverging",
        spec={"timeout": {"base": "20s"}},
        decisions=[],
        outcome=OutcomeName.WOULD_ABORT,
        at=20,
        why="timeout: not done after 20s",
    ),
    Case(
        reason="and a time without progress",
        trace="nonconverging",
        spec={"progressTimeout": "20s"},
        decisions=[],
        outcome=OutcomeName.WOULD_ABORT,
        at=25.5,
        why="progressTimeout: no progress and no new parameters for 20s",
    ),
    Case(
        reason="post-copy would have changed the course",
        trace="nonconverging",
        spec={"steps": [{"after": {"elapsed": "10s"}, "switchToPostCopy": {}}]},
        decisions=[(10, "switchToPostCopy", None)],
        outcome=OutcomeName.WOULD_POST_COPY,
        at=10,
        why="step 1, 10s elapsed",
    ),
    Case(
        reason="so would a pause",
        trace="nonconverging",
        spec={"steps": [{"after": {"elapsedPerGiB": "80s"}, "suspend": {}}]},
        decisions=[(10, "suspend", None)],
        outcome=OutcomeName.WOULD_SUSPEND,
        at=10,
        why="(1m20s per GiB)",
    ),
    Case(
        reason="and a restart",
        trace="nonconverging",
        spec={
            "steps": [
                {
                    "after": {"passes": 6},
                    "restart": {"start": {"autoConverge": {"initial": 20, "increment": 10}}},
                }
            ]
        },
        decisions=[(6.5, "restart", '{"autoConverge":{"initial":20,"increment":10}}')],
        outcome=OutcomeName.WOULD_RESTART,
        at=6.5,
        why="step 1, pass 6 reached",
    ),
    Case(
        reason="a post-copy of the recording is nobody's decision here, and ends it",
        trace="postcopy",
        spec={"steps": [{"after": {"passes": 3}, "setMaxDowntime": "400ms"}]},
        decisions=[(3.8, "setMaxDowntime", "400ms")],
        outcome=OutcomeName.TRACE_ENDED,
        at=5.4,
        why="the recording goes over to post-copy, which was not decided here by then",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[each.reason for each in CASES])
def test_a_policy_decides_on_a_recording(case):
    result = replay(case.trace, case.spec)
    decided = [(each.t, each.action, each.value) for each in result.decisions]
    assert [each[1:] for each in decided] == [each[1:] for each in case.decisions]
    assert [each[0] for each in decided] == pytest.approx([each[0] for each in case.decisions], abs=0.6)
    assert result.outcome.outcome == case.outcome
    assert result.outcome.t == pytest.approx(case.at, abs=0.6)
    assert case.why in result.outcome.why


def test_only_a_replay_to_the_recordings_own_end_tells_its_time_and_downtime():
    ended = replay("borderline", {}).outcome
    assert (ended.total_time, ended.downtime) == (13.736, 0.033)
    changed = replay("borderline", {"maxDowntime": "500ms"}).outcome
    assert (changed.total_time, changed.downtime) == (None, None)


def test_stalling_is_told_with_its_beginning_and_end():
    stalls = replay("bandwidth-raised", {"stallingLimit": "5s", "progressTimeout": "0s"}).stalls
    assert 9 < stalls[0].start < 12
    assert stalls[0].end == pytest.approx(17.5, abs=1.5)  # the bandwidth was raised at 12.3 s


def test_a_hiccup_of_the_load_does_not_end_it():
    (stall,) = replay("nonconverging", {"stallingLimit": "3s", "progressTimeout": "0s"}).stalls
    assert 5 < stall.start < 7
    assert stall.end is None


def test_what_a_policy_reckons_per_gib_goes_by_the_memory_that_is_given():
    spec = policy(timeout={"perGiB": "10s"})
    setting = replay_setting(recording("nonconverging"), memory=2 * 2**30)
    assert simulate("p", spec, setting).outcome.t == pytest.approx(20, abs=0.3)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", ["minimal-downtime", "must-complete"])
def test_the_same_recording_and_policy_always_give_the_same(trace, name):
    setting = replay_setting(recording(trace))
    assert simulate("p", preset(name), setting) == simulate("p", preset(name), setting)
