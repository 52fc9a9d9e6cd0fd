"""Steps that start again with other options, and steps that are edited while the migration runs."""

from datetime import timedelta

import pytest
from worlds import Agent, Event, Guest, Scenario, World

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_api.policies import AutoConverge, Compression, CompressionMethod, Encryption, StartOptions

OBEYS = Agent()
HOPELESS = Guest(needed=4000, first_pass=4)
XBZRLE = {"compression": {"method": "XBZRLE"}}
THROTTLE = {"autoConverge": {"initial": 40, "increment": 30}}
TLS = {"encryption": "Required"}
STALLED = {"stalled": "1s"}


def to(milliseconds: int) -> dict[str, object]:
    return {"after": STALLED, "setMaxDowntime": f"{milliseconds}ms"}


def again(start: dict[str, object], after: dict[str, object] | None = None) -> dict[str, object]:
    return {"after": after or STALLED, "restart": {"start": start}}


def ladder(*steps: dict[str, object], **spec: object) -> dict[str, object]:
    return {
        "maxDowntime": "100ms",
        "stallingLimit": "2s",
        "progressTimeout": "0s",
        **spec,
        "steps": list(steps),
    }


def world(
    *steps: dict[str, object], agent: Agent = OBEYS, events: tuple[Event, ...] = (), **spec: object
) -> World:
    return World(Scenario(policies={"p": ladder(*steps, **spec)}, guest=HOPELESS, agent=agent, events=events))


def test_a_restart_is_a_new_attempt_with_its_options_over_those_of_the_policy() -> None:
    it = world(again(THROTTLE), start=XBZRLE).run(30)
    assert [attempt.outcome for attempt in it.status.attempts] == [AttemptOutcome.RESTARTED, None]
    assert it.desired.start == StartOptions(
        compression=Compression(method=CompressionMethod.XBZRLE),
        auto_converge=AutoConverge(initial=40, increment=30),
    )
    assert it.desired.reason.startswith("step 1, stalled for 1s (needed downtime 4000 ms): restart with {")


def test_of_several_restarts_the_options_of_the_last_one_hold() -> None:
    it = world(again(THROTTLE), again(XBZRLE)).run(60)
    assert [number for number, _ in it.actions] == [1, 2]
    assert it.desired.start == StartOptions(compression=Compression(method=CompressionMethod.XBZRLE))


def test_a_restart_happens_once_a_try_and_the_steps_behind_it_go_on() -> None:
    it = world(to(200), again(XBZRLE), to(300), {"after": STALLED, "abort": {}}).run(300)
    assert [(number, action.split(" {")[0]) for number, action in it.actions] == [
        (1, "setMaxDowntime 100ms → 200ms"),
        (1, "restart with"),
        (2, "setMaxDowntime 200ms → 300ms"),
        (2, "abort"),
    ]
    assert it.status.phase == Phase.FAILED


def test_what_was_granted_before_a_restart_is_granted_after_it() -> None:
    it = world(to(200), again(XBZRLE)).run(60)
    assert (it.desired.attempt, it.desired.max_downtime) == (2, timedelta(milliseconds=200))


def test_a_suspended_guest_runs_again_after_a_restart_and_is_suspended_when_that_is_due_anew() -> None:
    steps = [{"after": {"passes": 3}, "suspend": {}}, again(XBZRLE, {"elapsed": "20s"})]
    refuses = Agent(refuses=frozenset({"suspend"}))
    it = world(*steps, agent=refuses).run(80)
    assert [(number, action.split()[0]) for number, action in it.actions] == [
        (1, "suspend"),
        (1, "restart"),
        (2, "suspend"),
    ]


def test_the_next_try_takes_its_steps_and_its_restart_anew() -> None:
    it = world(
        to(200), again(XBZRLE), {"after": STALLED, "abort": {}}, retry={"attempts": 2, "backoff": "1s"}
    ).run(300)
    assert [(number, action.split()[0]) for number, action in it.actions] == [
        (1, "setMaxDowntime"),
        (1, "restart"),
        (2, "abort"),
        (3, "setMaxDowntime"),
        (3, "restart"),
        (4, "abort"),
    ]


def test_the_time_of_a_step_counts_from_the_start_of_its_attempt() -> None:
    it = world(again(XBZRLE, {"elapsed": "20s"}), {"after": {"elapsed": "30s"}, "abort": {}}).run(300)
    second = it.status.attempts[1]
    assert it.status.steps[-1].time - second.start == timedelta(seconds=30)


def test_steps_keep_their_distance_across_a_restart() -> None:
    it = world(again(XBZRLE, {"elapsed": "10s"}), {"after": {"elapsed": "1s"}, "suspend": {}}).run(40)
    assert [action.split()[0] for _, action in it.actions] == ["suspend"]  # it moved, within 10 s
    slow = world(
        again(XBZRLE, {"passes": 2}), {"after": {"passes": 3}, "abort": {}}, minStepInterval="60s"
    ).run(200)
    restart, abort = slow.status.steps
    assert abort.time - restart.time == timedelta(seconds=60)


RUNGS = [{"after": {"passes": 2}, "setMaxDowntime": f"{each}ms"} for each in (200, 300, 400, 500)]


@pytest.mark.parametrize("end", ["abort", "suspend", "switchToPostCopy"])
@pytest.mark.parametrize("after", [{"elapsed": "30s"}, {"elapsedPerGiB": "30s"}])
def test_a_deadline_waits_for_neither_the_steps_before_it_nor_their_distance(
    end: str, after: dict[str, object]
) -> None:
    it = world(*RUNGS, {"after": after, end: {}}, minStepInterval="20s").run(40)
    assert [action.split()[0] for _, action in it.actions] == ["setMaxDowntime", "setMaxDowntime", end]
    assert it.status.steps[-1].time == it.status.attempts[0].start + timedelta(seconds=30)


def test_of_steps_that_are_due_by_the_clock_what_ends_it_goes_first() -> None:
    late = [{"after": {"elapsed": "1s"}, "setMaxDowntime": f"{each}ms"} for each in (200, 300)]
    it = world(*late, {"after": {"elapsed": "1s"}, "abort": {}}).run(10)
    assert [action for _, action in it.actions] == ["abort"]


AT_PASS_2 = {"passes": 2}
AT_30_S = {"elapsed": "30s"}


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ([RUNGS[1], {"after": AT_PASS_2, "abort": {}}], "setMaxDowntime 200ms → 300ms"),
        ([{"after": AT_PASS_2, "abort": {}}, RUNGS[1]], "abort"),
        (
            [{"after": AT_PASS_2, "switchToPostCopy": {}}, {"after": AT_PASS_2, "abort": {}}],
            "switchToPostCopy",
        ),
        ([RUNGS[3], RUNGS[2]], "setMaxDowntime 200ms → 500ms"),
        ([{"after": AT_30_S, "setMaxDowntime": "1s"}, {"after": AT_30_S, "setBandwidth": "90Mi"}], "setMax"),
    ],
)
def test_of_several_that_wait_for_their_distance_the_first_one_is_told_as_the_next(
    then: list[dict[str, object]], expected: str
) -> None:
    it = world(RUNGS[0], *then, bandwidth={"perMigration": "50Mi"}, minStepInterval="40s").run(35)
    assert len(it.actions) == 1
    forecast = it.status.forecast
    assert forecast is not None
    assert str(forecast.next_action).startswith(expected)
    assert it.run(65).actions[1] == (1, forecast.next_action)


def test_of_several_that_wait_for_the_same_time_what_ends_it_is_told_as_the_next() -> None:
    late = [{"after": AT_30_S, "setBandwidth": "90Mi"}, {"after": AT_30_S, "switchToPostCopy": {}}]
    it = world(*late, {"after": AT_30_S, "abort": {}}, bandwidth={"perMigration": "50Mi"}).run(25)
    forecast = it.status.forecast
    assert forecast is not None
    assert forecast.next_action == "switchToPostCopy"
    assert it.run(35).actions[0] == (1, "switchToPostCopy")


def test_what_the_host_refuses_is_behind_for_the_whole_try_and_what_it_may_do_later_for_the_attempt() -> None:
    steps = [to(200), {"after": STALLED, "switchToPostCopy": {}}, again(XBZRLE)]
    it = world(*steps, agent=Agent(refuses=frozenset({"maxDowntime", "technique"}))).run(100)
    assert [(number, action.split()[0]) for number, action in it.actions] == [
        (1, "setMaxDowntime"),
        (1, "switchToPostCopy"),
        (1, "restart"),
        (2, "switchToPostCopy"),
    ]
    assert [step.outcome.split(":")[0] for step in it.status.steps] == [
        "Failed",
        "Failed",
        "Applied",
        "Failed",
    ]


def test_an_attempt_that_fails_before_it_is_given_up_for_a_restart_is_followed_by_that_restart() -> None:
    restart = again(XBZRLE, {"elapsed": "20s"})
    it = world(to(200), restart, to(300), agent=Agent(fails={1: 21}, delay=3)).run(80)
    assert [attempt.outcome for attempt in it.status.attempts] == [AttemptOutcome.FAILED, None]
    assert [(number, action.split()[0]) for number, action in it.actions] == [
        (1, "setMaxDowntime"),
        (1, "restart"),
        (2, "setMaxDowntime"),
    ]
    assert {step.outcome for step in it.status.steps} == {"Applied"}
    assert it.desired.max_downtime == timedelta(milliseconds=300)


def edited(at: int, *steps: dict[str, object], **spec: object) -> Event:
    return Event(at=at, policies={"p": ladder(*steps, **spec)})


def test_edited_steps_go_on_from_where_the_migration_stands() -> None:
    it = world(to(200), to(300), events=(edited(15, to(150), to(300), to(400)),))
    assert [action for _, action in it.run(15).actions] == [
        "setMaxDowntime 100ms → 200ms",
        "setMaxDowntime 200ms → 300ms",
    ]
    assert [action for _, action in it.run(60).actions][2:] == ["setMaxDowntime 300ms → 400ms"]


def test_a_step_put_before_those_that_were_taken_is_taken_when_it_is_due() -> None:
    it = world(to(200), events=(edited(20, {"after": {"passes": 2}, "suspend": {}}, to(200)),)).run(60)
    assert [(step.step, step.action.split()[0]) for step in it.status.steps] == [
        (1, "setMaxDowntime"),
        (1, "suspend"),
    ]


@pytest.mark.parametrize(("on_edit", "attempts"), [(True, 2), (False, 1)])
def test_an_edit_of_the_start_options_restarts_only_where_the_policy_says_so(
    on_edit: bool, attempts: int
) -> None:
    it = world(to(200), events=(edited(30, to(200), start=XBZRLE, restartOnEdit=on_edit),)).run(60)
    assert len(it.status.attempts) == attempts
    assert (it.desired.start is not None) == on_edit


def test_each_edit_of_the_start_options_restarts_with_those_it_gives() -> None:
    edits = [
        edited(30, to(200), start={"parallelConnections": 4}, restartOnEdit=True),
        edited(60, to(200), start=TLS, restartOnEdit=True),
        edited(90, to(200), start=XBZRLE, restartOnEdit=True),
    ]
    it = world(to(200), start={"parallelConnections": 2}, restartOnEdit=True, events=tuple(edits))
    starts = [it.run(at).desired.start for at in (30, 60, 90, 120)]
    assert starts == [
        StartOptions(parallel_connections=2),
        StartOptions(parallel_connections=4),
        StartOptions(encryption=Encryption.REQUIRED),
        StartOptions(compression=Compression(method=CompressionMethod.XBZRLE)),
    ]
    assert [action for _, action in it.actions] == ["setMaxDowntime 100ms → 200ms", *["restart"] * 3]


def test_an_edit_that_means_the_same_start_options_restarts_nothing() -> None:
    it = world(to(200), events=(edited(30, to(200), start={}, restartOnEdit=True),)).run(60)
    assert len(it.status.attempts) == 1


def test_the_options_of_a_restart_outlast_an_edit_of_those_below_them() -> None:
    edit = edited(40, again(TLS), start=XBZRLE, restartOnEdit=True)
    it = world(again(TLS), restartOnEdit=True, events=(edit,)).run(80)
    assert it.desired.attempt == 3
    assert it.desired.start == StartOptions(
        compression=Compression(method=CompressionMethod.XBZRLE), encryption=Encryption.REQUIRED
    )


def test_post_copy_that_an_edit_removes_is_not_switched_to_and_one_that_it_gives_back_is() -> None:
    post_copy = {"after": {"elapsed": "40s"}, "switchToPostCopy": {}}
    gone = edited(30, to(200))
    back = edited(60, to(200), post_copy)
    it = world(to(200), post_copy, events=(gone, back))
    assert [action.split()[0] for _, action in it.run(60).actions] == ["setMaxDowntime"]
    assert it.run(70).status.phase == Phase.SUCCEEDED
    assert it.actions[-1] == (1, "switchToPostCopy")


def test_post_copy_that_was_ordered_and_not_begun_is_taken_back_by_an_edit_that_removes_it() -> None:
    post_copy = {"after": {"elapsed": "20s"}, "switchToPostCopy": {}}
    it = world(to(200), post_copy, agent=Agent(delay=3), events=(edited(22, to(200)),))
    assert it.run(22).desired.technique == "PostCopy"
    assert it.run(60).desired.technique == "PreCopy"
    assert it.status.steps[-1].outcome == "Withdrawn: the policy no longer allows post-copy"
    assert it.status.phase == Phase.RUNNING


WITHOUT_POST_COPY = Agent(features=("TLS",))


def test_an_edit_to_what_the_hosts_can_t_do_is_followed_in_flight_as_far_as_they_can() -> None:
    """The step that they can't take is recorded as refused; a restart that could not start is not tried."""
    edit = edited(
        20,
        {"after": STALLED, "switchToPostCopy": {}},
        again(XBZRLE),
        to(300),
        {"after": STALLED, "abort": {}},
    )
    it = world(to(200), agent=WITHOUT_POST_COPY, events=(edit,))
    told = it.run(25).told(ConditionType.ACCEPTED)
    assert (told.status, told.reason) == ("False", "PostCopyNotPossible")
    it.run(100)
    assert it.status.phase == Phase.FAILED
    assert [(step.step, step.action.split()[0], step.outcome.split(":")[0]) for step in it.status.steps] == [
        (1, "setMaxDowntime", "Applied"),
        (1, "switchToPostCopy", "Failed"),
        (3, "setMaxDowntime", "Applied"),
        (4, "abort", "Applied"),
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"start": {"zeroCopy": True, "parallelConnections": 2}, "restartOnEdit": True},
        {"start": {"zeroCopy": True}, "restartOnEdit": True},
        {
            "start": {"parallelConnections": 2},
            "restartOnEdit": True,
            "steps": [{"after": {"passes": 9}, "switchToPostCopy": {}}],
        },
    ],
)
def test_a_running_attempt_is_not_given_up_for_one_that_the_hosts_could_not_start(
    spec: dict[str, object],
) -> None:
    it = world(to(200), agent=WITHOUT_POST_COPY, events=(edited(20, to(200), **spec),)).run(60)
    assert len(it.status.attempts) == 1
    objective = {
        "objective": {"maxDowntime": "300ms", "allow": ["AutoConverge"], "otherwise": "Abort"},
        **spec,
    }
    other = world(to(200), agent=WITHOUT_POST_COPY, events=(Event(at=20, policies={"p": objective}),)).run(60)
    assert [attempt.outcome for attempt in other.status.attempts] == [AttemptOutcome.ABORTED]


def test_a_restart_with_parallel_connections_is_not_started_so_that_post_copy_stays_possible() -> None:
    it = world(again({"parallelConnections": 2}))
    assert it.run(4).desired.post_copy_allowed
    assert not it.run(40).desired.post_copy_allowed


def test_what_the_host_refuses_an_objective_does_not_keep_it_from_ending() -> None:
    objective = {"preferredDowntime": "50ms", "maxDowntime": "300ms", "completeWithin": "30s"}
    policies = {"p": {"progressTimeout": "0s", "objective": objective}}
    agent = Agent(refuses=frozenset({"maxDowntime"}))
    it = World(Scenario(policies=policies, guest=Guest(needed=400, first_pass=4), agent=agent)).run(60)
    assert it.status.phase == Phase.FAILED
    assert {step.outcome.split(":")[0] for step in it.status.steps} == {"Failed", "Applied"}
