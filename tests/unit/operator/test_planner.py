"""What the planner of an objective does with what the passes show: guests as they were measured."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import GIB, NOW, after, first_desired, migration, policy, running

from vmferry_api.migrations import (
    Applied,
    Attempt,
    AttemptOutcome,
    Desired,
    DesiredState,
    MigrationTechnique,
    PassRecord,
    Progress,
    StepRecord,
)
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions.parameters import budget
from vmferry_operator.decisions.plan import Plan, plan
from vmferry_operator.decisions.situations import situation
from vmferry_operator.decisions.trend import over_one_link, trend

MIB = 2**20
Passes = list[tuple[float, float]]
"""For each pass from the second on: the seconds after the start when it began, and the needed downtime in ms."""

W1: Passes = [(1.9, 20)]
W2: Passes = [(1.9, 1680), (3.6, 1540), (5.1, 1410), (6.5, 1290), (7.8, 1185)]
W3: Passes = [(1.9, 1280), (3.2, 1279), (4.5, 1281)]
W3_AT_BUDGET: Passes = [*W3, (5.8, 1275), (7.0, 1270), (8.3, 1272)]
W6B: Passes = [(1.8, 880), (2.7, 879), (3.6, 600), (4.2, 590), (4.8, 585), (5.4, 588), (6.0, 590)]
W7: Passes = [(8.0, 5997), (14.0, 5990)]
W8: Passes = [(8.0, 5150), (13.1, 4430)]


def objective(**words: object) -> MigrationPolicySpec:
    return policy(
        objective={"preferredDowntime": "300ms", "maxDowntime": "500ms", "completeWithin": "10m", **words}
    ).spec


def records(passes: Passes) -> list[PassRecord]:
    return [
        PassRecord(
            memory_pass=number,
            elapsed=timedelta(seconds=elapsed),
            needed_downtime=timedelta(milliseconds=needed),
        )
        for number, (elapsed, needed) in enumerate(passes, start=2)
    ]


class Course:
    """A migration whose passes are told one after the other; its agent applies at once."""

    def __init__(self, spec: MigrationPolicySpec) -> None:
        self.spec = spec
        self.desired: Desired = first_desired(spec)
        self.steps: list[StepRecord] = []
        self.throttle: int | None = None
        self.stalling_since: float | None = None
        self.remaining = 0
        self.share: int | None = None

    def at(self, seconds: float, passes: Passes) -> Plan:
        """One decision."""
        told = records([each for each in passes if each[0] <= seconds])
        progress = Progress(
            percent=90,
            memory_pass=len(told) + 1,
            remaining=self.remaining,
            transferred=0,
            total=GIB,
            bandwidth=50 * MIB,
            throttle=self.throttle,
            needed_downtime=told[-1].needed_downtime if told else None,
            elapsed=timedelta(seconds=seconds),
            recent=told[-12:],
        )
        applied = Applied(revision=self.desired.revision, attempt=1, time=after(seconds))
        status = running(stalling_since=self.stalling_since).replace(progress=progress, applied=applied)
        made = plan(
            self.spec,
            self.desired,
            applied,
            self.steps,
            situation(migration(status)),
            now=after(seconds),
            share=lambda _: self.share,
        )
        self.desired, self.steps = made.desired, list(made.steps)
        return made

    def until(self, seconds: float, passes: Passes) -> list[tuple[float, str]]:
        """Twice a second; what was done, and when."""
        done: list[tuple[float, str]] = []
        for half in range(int(seconds * 2) + 1):
            before = len(self.steps)
            self.at(half / 2, passes)
            done += [(half / 2, step.action) for step in self.steps[before:]]
        return done


def actions(spec: MigrationPolicySpec, passes: Passes, *, until: float) -> list[str]:
    return [action for _, action in Course(spec).until(until, passes)]


GRANT = "setMaxDowntime 300ms → 400ms"


@pytest.mark.parametrize("passes", [W1, W2, W8], ids=["W1 idle", "W2 borderline", "W8 slow"])
@pytest.mark.parametrize(
    "words",
    [{}, {"allow": ["PostCopy", "Suspend"]}, {"allow": ["AutoConverge"]}],
)
def test_a_guest_that_converges_by_itself_is_left_alone(passes: Passes, words: dict[str, object]) -> None:
    assert actions(objective(**words), passes, until=passes[-1][0] + 1) == []


def test_the_budget_is_granted_once_when_the_passes_are_flat_and_not_before() -> None:
    done = Course(objective()).until(30, W3)
    assert done == [(3.5, GRANT)]


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ({"allow": ["PostCopy"]}, "switchToPostCopy"),
        ({"allow": ["PostCopy", "AutoConverge", "Suspend"]}, "switchToPostCopy"),
    ],
)
def test_the_verdict_takes_a_whole_pass_and_some_seconds_at_the_budget(
    words: dict[str, object], action: str
) -> None:
    done = Course(objective(**words)).until(8, W3_AT_BUDGET)
    assert done == [(3.5, GRANT), (5.0, action)]


def test_a_guest_far_above_the_budget_is_not_probed() -> None:
    assert Course(objective(allow=["PostCopy"])).until(15, W7) == [(14.0, "switchToPostCopy")]


def test_two_passes_that_look_alike_are_no_verdict_yet_on_a_guest_that_converges() -> None:
    """W2, as a busy host once showed it: the second pass hid that the needed downtime falls."""
    slow_to_show: Passes = [(1.9, 1680), (3.5, 1650), (4.6, 1370), (5.6, 1150), (6.4, 960)]
    assert actions(objective(allow=["PostCopy"]), slow_to_show, until=6.9) == []


def test_a_budget_that_the_host_refuses_is_judged_without() -> None:
    course = Course(objective(allow=["PostCopy"]))
    course.until(3.5, W3)
    course.steps = [course.steps[-1].replace(outcome="Failed: maxDowntime: no")]
    assert [action for _, action in course.until(9, W3_AT_BUDGET)] == ["switchToPostCopy"]


def test_a_floor_just_above_the_budget_is_not_waited_at() -> None:
    assert actions(objective(allow=["PostCopy"]), W6B, until=7) == [GRANT, "switchToPostCopy"]


def test_without_a_preferred_downtime_the_budget_is_granted_from_the_start() -> None:
    spec = policy(objective={"maxDowntime": "500ms", "allow": ["PostCopy"]}).spec
    assert first_desired(spec).max_downtime == timedelta(milliseconds=400)
    assert actions(spec, W3, until=8) == ["switchToPostCopy"]


def test_after_the_first_pass_means_so_unless_it_fits() -> None:
    spec = objective(allow=["PostCopy"], postCopy="AfterFirstPass")
    assert Course(spec).until(3, W3) == [(2.0, "switchToPostCopy")]
    assert actions(spec, W1, until=3) == []


def test_what_the_objective_does_not_allow_is_not_done() -> None:
    course = Course(objective(otherwise="KeepTrying"))
    course.stalling_since = 5
    assert [action for _, action in course.until(300, W3_AT_BUDGET)] == [GRANT]


@pytest.mark.parametrize(
    ("words", "action"),
    [({"allow": ["Suspend"]}, "suspend"), ({}, "abort"), ({"allow": ["AutoConverge"]}, "abort")],
)
def test_the_last_resort_waits_until_it_is_stalling(words: dict[str, object], action: str) -> None:
    course = Course(objective(**words))
    course.throttle = 99
    assert [name for _, name in course.until(20, W3_AT_BUDGET)] == [GRANT]
    course.stalling_since = 20
    assert course.at(21, W3_AT_BUDGET).steps[-1].action == action


def test_auto_converge_is_on_from_the_start_where_it_is_allowed_and_waited_for_while_it_presses() -> None:
    spec = objective(allow=["AutoConverge"], throttle="Hard")
    start = first_desired(spec).start
    assert start is not None
    assert start.auto_converge is not None
    assert (start.auto_converge.initial, start.auto_converge.increment) == (90, 9)
    course = Course(spec)
    course.throttle, course.stalling_since = 90, 4
    assert [name for _, name in course.until(30, W3_AT_BUDGET)] == [GRANT]


def test_auto_converge_that_an_edit_allows_takes_one_restart() -> None:
    course = Course(objective())
    course.until(8, W3_AT_BUDGET)
    course.spec = objective(allow=["AutoConverge"])
    made = course.at(8.5, W3_AT_BUDGET)
    assert made.steps[-1].action == 'restart with {"autoConverge":{"initial":40,"increment":30}}'
    assert made.desired.attempt == 2
    assert made.desired.start is not None
    assert made.desired.start.auto_converge is not None


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ({"allow": ["PostCopy"]}, "switchToPostCopy"),
        ({"allow": ["Suspend"]}, "suspend"),
        ({}, "abort"),
        ({"otherwise": "KeepTrying"}, None),
    ],
)
def test_at_the_deadline_what_ends_it_is_done(words: dict[str, object], action: str | None) -> None:
    course = Course(objective(completeWithin="20s", **words))
    before = course.at(2.5, W3).outlook
    assert before.check_again == after(20)
    made = course.at(20, W3)
    assert (made.steps[-1].action if made.steps else None) == action


def test_what_will_be_done_at_the_deadline_is_told_with_its_time() -> None:
    course = Course(objective(completeWithin="60s", allow=["Suspend"]))
    told = course.at(2.5, W1).outlook
    assert (told.next_action, told.next_time) == ("suspend if not done by then", after(60))
    waits = course.at(3.0, W3[:1]).outlook
    assert (waits.next_action, waits.next_time) == ("grant the budget if it does not get there", None)


def test_the_deadline_grows_with_the_guest_s_memory() -> None:
    spec = objective(completeWithin="20s", completeWithinPerGiB="10s")
    assert Course(spec).at(2.5, W1).outlook.check_again == after(30)


def test_what_is_about_to_arrive_is_let_arrive() -> None:
    course = Course(objective(completeWithin="10s"))
    late = course.at(10, W2)
    assert (late.steps, late.outlook.check_again) == ([], after(40))
    assert course.at(40, W2).steps[-1].action == "abort"


@pytest.mark.parametrize(
    ("words", "remaining", "action"),
    [
        ({}, 30 * 50 * MIB, None),
        ({}, 60 * 50 * MIB, "abort"),
        ({"allow": ["PostCopy"]}, 60 * 50 * MIB, None),
        ({"allow": ["Suspend"]}, 60 * 50 * MIB, None),
        ({"otherwise": "KeepTrying"}, 60 * 50 * MIB, None),
    ],
    ids=["about to be over", "far from it", "post-copy gains nothing", "nor does a pause", "keeps trying"],
)
def test_a_first_pass_that_outlasts_the_deadline_is_left_to_its_end_or_given_up(
    words: dict[str, object], remaining: int, action: str | None
) -> None:
    course = Course(objective(completeWithin="100s", **words))
    course.remaining = remaining
    made = course.at(100, [])
    assert (made.steps[-1].action if made.steps else None) == action


def test_a_restart_has_its_try_s_deadline() -> None:
    first = Attempt(number=1, start=NOW, end=after(30), outcome=AttemptOutcome.RESTARTED)
    status = running(attempts=[first, Attempt(number=2, start=after(30))])
    spec = objective(completeWithin="60s")
    desired = first_desired(spec).replace(attempt=2)
    made = plan(spec, desired, None, [], situation(migration(status)), now=after(31))
    assert made.outlook.check_again == after(60)


def test_a_restart_that_could_not_even_send_the_memory_in_time_is_none() -> None:
    course = Course(objective(completeWithin="20s"))
    course.until(8, W3_AT_BUDGET)
    course.spec = objective(completeWithin="10s", allow=["AutoConverge"])
    course.stalling_since = 5
    assert course.at(8.5, W3_AT_BUDGET).steps[-1].action == "abort"


def test_without_a_detection_of_stalling_the_verdict_is_enough() -> None:
    spec = objective().replace(stalling_limit=timedelta(0))
    assert actions(spec, W3_AT_BUDGET, until=8) == [GRANT, "abort"]


def test_what_was_seen_at_another_bandwidth_is_no_evidence() -> None:
    """A share of a node's bandwidth that has grown: what looked hopeless may converge now."""
    at_50, at_400 = [(3, 4000), (7, 4000), (11, 4000)], [(15, 500), (15.5, 480)]
    seen = [
        each.replace(pending=int(each.needed_downtime.total_seconds() * rate * MIB))
        for rate, passes in ((50, at_50), (400, at_400))
        for each in records(passes)
    ]
    assert [each.elapsed.total_seconds() for each in over_one_link(seen)] == [15, 15.5]
    assert over_one_link(seen[:3]) == seen[:3]


def test_a_decision_at_a_share_says_so() -> None:
    course = Course(objective())
    course.share = 20 * MIB
    course.until(3, W3)
    assert "at a share of 20Mi" in course.at(3.5, W3).steps[-1].trigger


@pytest.mark.parametrize(
    ("most", "granted"),
    [("2s", 1800), ("1s", 900), ("500ms", 400), ("300ms", 200), ("100ms", 50), ("1ms", 1)],
)
def test_the_budget_leaves_a_reserve_and_is_never_nothing(most: str, granted: int) -> None:
    assert budget(policy(objective={"maxDowntime": most}).spec.objective) == timedelta(milliseconds=granted)


def test_a_burst_is_not_hopeless_if_it_ends_before_the_verdict() -> None:
    burst: Passes = [(1.9, 1280), (3.2, 1275), (4.1, 380), (4.5, 200)]
    assert actions(objective(allow=["PostCopy"]), burst, until=7) == [GRANT]


def test_a_hiccup_of_the_link_is_no_trend_of_the_guest() -> None:
    """As recorded: the same bytes, by another bandwidth."""
    flat = [
        each.replace(pending=67_000_000)
        for each in records([(1.9, 1447), (3.2, 1280), (4.2, 1280), (5.2, 1150)])
    ]
    seen = trend(flat)
    assert seen is not None
    assert (seen.ratio, seen.needed) == (1, timedelta(milliseconds=1150))


@pytest.mark.parametrize(
    ("passes", "granted", "seconds"),
    [
        ([(1, 1000)], 300, None),
        ([(1, 200)], 300, 0),
        ([(1, 1000), (2, 1000)], 300, None),
        ([(1, 1000), (2, 900)], 300, 6),
        ([(1, 1000), (2, 900), (2.9, 810)], 300, 5.1),
        ([(1, 900), (2, 1000)], 300, None),
        ([(1, 7_500_000), (2, 7_499_999)], 300, None),
    ],
)
def test_the_time_that_is_left_is_that_of_a_geometric_series(
    passes: Passes, granted: int, seconds: float | None
) -> None:
    seen = trend(records(passes))
    assert seen is not None
    left = seen.time_to(timedelta(milliseconds=granted))
    assert (None if left is None else round(left.total_seconds(), 1)) == seconds


@given(st.integers(1, 2**60), st.integers(0, 2**20))
def test_however_flat_the_passes_are_they_can_be_judged(pending: int, falls: int) -> None:
    flat = records([(2, 5000), (7, 5000)])
    seen = trend([flat[0].replace(pending=pending), flat[1].replace(pending=max(0, pending - falls))])
    assert seen is not None
    left = seen.time_to(timedelta(milliseconds=300))
    assert left is None or after(0) + left >= after(0)


def test_one_lucky_pass_is_not_the_floor() -> None:
    seen = trend(records([(1, 1280), (2, 700), (3, 1275), (4, 1279)]))
    assert seen is not None
    assert seen.floor == timedelta(milliseconds=1275)


ALLOW = st.lists(st.sampled_from(["AutoConverge", "PostCopy", "Suspend"]), unique=True)
COURSES = st.lists(st.tuples(st.floats(0.1, 8), st.integers(1, 8000)), max_size=20)


@given(
    allow=ALLOW,
    steps=COURSES,
    stalling=st.one_of(st.none(), st.floats(0, 60)),
    otherwise=st.sampled_from(["Abort", "KeepTrying"]),
)
def test_whatever_the_passes_show_nothing_is_done_that_is_not_allowed(allow, steps, stalling, otherwise):
    spec = objective(allow=allow, otherwise=otherwise, completeWithin="60s")
    course, now, passes = Course(spec), 0.0, []
    course.stalling_since = stalling
    for wait, needed in steps:
        now += wait
        passes.append((now, needed))
        made = course.at(now, passes)
        assert course.at(now, passes).desired == made.desired, "asked again, it decides nothing new"
    assert course.desired.max_downtime <= timedelta(milliseconds=400)
    if course.desired.technique == MigrationTechnique.POST_COPY:
        assert "PostCopy" in allow
    if course.desired.suspend:
        assert "Suspend" in allow
    if course.desired.state == DesiredState.ABORT:
        assert otherwise == "Abort"
    assert course.desired.attempt == 1
