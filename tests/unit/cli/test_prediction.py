"""What policies would do to guests of the model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_guests import GIB, MIB, PRESETS, lab_guest, policy, preset

from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.prediction import allowed_time, left_out, prediction_setting
from kubectl_vmferry.simulation.results import OutcomeName, Result
from kubectl_vmferry.simulation.simulate import simulate
from vmferry_api.policies import MigrationPolicy

HOPELESS = lab_guest(80, 64, 32)
PRESET_NAMES = [path.stem for path in PRESETS]


def predict(
    given: MigrationPolicy, guest: Guest = HOPELESS, *, link: float = 52e6, until: float = 600
) -> Result:
    return simulate("p", given, prediction_setting(guest, link=link, until=until))


def steps(result: Result) -> list[tuple[int | None, str, str | None]]:
    return [(each.step, each.action, each.value) for each in result.decisions]


def test_steps_are_taken_until_the_guest_fits():
    ladder = [{"after": {"stalled": "2s"}, "setMaxDowntime": f"{each}ms"} for each in (400, 900, 1500)]
    result = predict(policy(stallingLimit="3s", steps=ladder))
    assert steps(result) == [
        (1, "setMaxDowntime", "400ms"),
        (2, "setMaxDowntime", "900ms"),
    ]
    assert result.outcome.outcome == OutcomeName.SUCCEEDED
    assert 0.4 < result.outcome.downtime < 0.95
    assert result.stalls


def test_a_timeout_leaves_the_vm_on_its_source():
    result = predict(policy(timeout={"base": "20s"}))
    assert result.outcome.outcome == OutcomeName.FAILED
    assert "timeout: not done after 20s" in result.outcome.why
    assert (result.outcome.total_time, result.outcome.downtime) == (pytest.approx(21.5, abs=0.5), None)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"timeout": {"base": "60s", "perGiB": "10s"}}, 100),
        ({"objective": {"maxDowntime": "1s", "completeWithin": "60s", "completeWithinPerGiB": "10s"}}, 100),
        ({"timeout": {"base": "60s"}, "retry": {"attempts": 3}}, 180),
    ],
)
def test_how_long_a_policy_would_go_on_is_known_where_it_sets_a_bound(spec, seconds):
    assert allowed_time(policy(**spec).spec, 4 * GIB).total_seconds() == seconds


def test_a_failure_is_tried_again_with_the_policy_that_is_named_for_it():
    first = policy(
        "first", timeout={"base": "5s"}, retry={"attempts": 2, "backoff": "10s", "thenPolicy": "then"}
    )
    then = policy("then", steps=[{"after": {"passes": 2}, "switchToPostCopy": {}}])
    setting = prediction_setting(HOPELESS, link=52e6, until=600)
    result = simulate("first", first, setting, others=[first, then])
    assert [each[1] for each in steps(result)] == ["retry", "switchToPostCopy"]
    assert result.outcome.outcome == OutcomeName.SUCCEEDED
    assert result.outcome.total_time > 15


def test_a_restart_sends_everything_again():
    restart = {"start": {"autoConverge": {"initial": 90, "increment": 9}}}
    again = policy(maxDowntime="500ms", steps=[{"after": {"passes": 4}, "restart": restart}])
    from_the_start = policy(maxDowntime="500ms", start=restart["start"])
    restarted, direct = predict(again), predict(from_the_start)
    assert steps(restarted)[0][:2] == (1, "restart")
    assert restarted.outcome.outcome == direct.outcome.outcome == OutcomeName.SUCCEEDED
    assert restarted.outcome.total_time > direct.outcome.total_time + 3
    assert restarted.transferred > direct.transferred


def test_a_policy_that_can_t_be_carried_out_is_not_accepted():
    post_copy = [{"after": {"passes": 2}, "switchToPostCopy": {}}]
    result = predict(policy(start={"parallelConnections": 4}, steps=post_copy))
    assert result.outcome.outcome == OutcomeName.NOT_ACCEPTED
    assert "start.parallelConnections excludes post-copy before QEMU 10.1" in result.outcome.why


def test_it_ends_when_the_time_is_over():
    result = predict(policy(progressTimeout="0s"), until=60)
    assert (result.outcome.outcome, result.outcome.t) == (OutcomeName.UNFINISHED, 60)
    assert result.outcome.why == "not over after 1m (--until)"


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_leaves_an_easy_guest_alone_and_comes_to_an_end_with_a_hopeless_one(name):
    easy = predict(preset(name), lab_guest(1, 8, 88))
    assert (easy.outcome.outcome, easy.decisions) == (OutcomeName.SUCCEEDED, [])
    hopeless = predict(preset(name))
    assert hopeless.outcome.outcome in {OutcomeName.SUCCEEDED, OutcomeName.FAILED}


def test_a_guest_of_2_tib_takes_few_looks():
    guest = Guest(memory=2 * 2**40, dirty_rate=500 * MIB, working_set=2 * GIB)
    result = predict(preset("minimal-downtime"), guest, link=GIB, until=4 * 3600)
    assert result.outcome.outcome == OutcomeName.SUCCEEDED
    assert result.outcome.total_time == pytest.approx(2048, rel=0.05)
    assert len(result.course) < 2000


@given(
    st.sampled_from(PRESET_NAMES),
    st.integers(1, 90),
    st.integers(4, 90),
    st.sampled_from([30e6, 52e6, 200e6]),
)
@settings(max_examples=12, deadline=None)
def test_whatever_the_guest_decisions_are_in_order_and_the_same_again(name, rate, hot, link):
    guest = lab_guest(rate, hot, 8)
    first, again = (predict(preset(name), guest, link=link, until=60) for _ in range(2))
    assert first == again
    times = [each.t for each in first.decisions]
    assert times == sorted(times)
    assert all(0 <= t <= first.outcome.t for t in times)
    actions = [each.action for each in first.decisions]
    if "switchToPostCopy" in actions:
        assert "abort" not in actions[actions.index("switchToPostCopy") :]
    if first.outcome.outcome == OutcomeName.SUCCEEDED:
        assert first.outcome.downtime > 0


@pytest.mark.parametrize(
    ("spec", "notes"),
    [
        ({}, []),
        ({"start": {"autoConverge": {"initial": 20, "increment": 10}}}, []),
        (
            {"start": {"zeroCopy": True, "parallelConnections": 2, "encryption": "Required"}},
            ["encryption", "parallelConnections", "zeroCopy"],
        ),
        (
            {
                "steps": [
                    {"after": {"passes": 3}, "restart": {"start": {"compression": {"method": "XBZRLE"}}}}
                ]
            },
            ["compression"],
        ),
    ],
)
def test_what_the_model_leaves_out_is_told(spec, notes):
    assert left_out(policy(**spec).spec) == [
        f"{each} is not modelled; simulated as without it" for each in notes
    ]
