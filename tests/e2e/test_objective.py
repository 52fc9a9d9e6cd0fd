"""What an objective makes of guests that were measured under other planners, too, on a link of a given rate.

Each figure is a ratio to what plain libvirt, or oVirt's "Minimal downtime", does to the same guest in the same
run (bench/objective.py has them all). Where a ratio is missed the runs are repeated, up to five times each, and
their medians count: a run lasts seconds, and the machine has other things to do. Where nothing but the same is
wanted, medians would differ by chance, and all pairs of runs are compared.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import product

import pytest

from measured_runs import LINK, Job, Lanes, Run, median
from objective import POLICIES, bound
from vmferry_api.durations import parse_duration
from vmferry_lab.fixtures import new_lab
from vmferry_lab.guests.workloads import BORDERLINE, BURSTS, HOPELESS, IDLE, JUST_ABOVE, LARGE, Workload

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all of the first runs

MOST_RUNS = 5
HARDLY_CHANCE = 0.9
"""So many pairs of five runs each are won by one side alone, where both are alike, in 1 of 60 cases."""
PLAIN, OVIRT = "plain", "ovirt-minimal-downtime"
GENTLE, HARD, POST_COPY = "objective-gentle", "objective-hard", "objective-post-copy"
AT_ONCE, ONE_SECOND = "objective-post-copy-at-once", "objective-1s"
EASY, HOPELESS_ONES = (IDLE, BORDERLINE, BURSTS), (LARGE, HOPELESS, JUST_ABOVE)
PREFERRED, MAX_DOWNTIME = 0.3, 0.5
INTO_BURST = 3.0
"""So far into a burst of 6 s a bursty guest starts: the burst is over before the verdict, which could not tell."""


class Measured:
    """Runs by guest and policy; more of them on demand."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._runs: dict[tuple[str, str], list[Run]] = defaultdict(list)

    def measure(self, pairs: Sequence[tuple[Workload, str]]) -> None:
        for run in self._lanes.run([self._job(*pair) for pair in pairs]):
            self._runs[run.job.workload.name, run.job.policy].append(run)

    def of(self, workload: Workload, policy: str) -> list[Run]:
        return self._runs[workload.name, policy]

    def excess(
        self,
        workload: Workload,
        policy: str,
        other: str,
        *,
        ratio: float,
        figure: Callable[[Run], float] = lambda run: run.seconds,
    ) -> float:
        """Seconds by which a policy misses a ratio to another one's figure, by default the time it takes."""

        def excess() -> float:
            most = ratio * median(self.of(workload, other), figure)
            return median(self.of(workload, policy), figure) - most

        return self._repeated(excess, [(workload, policy), (workload, other)])

    def above(
        self, workload: Workload, policy: str, most: float, figure: Callable[[Run], float | None]
    ) -> float:
        """By how much a figure is above a bound."""
        return self._repeated(lambda: median(self.of(workload, policy), figure) - most, [(workload, policy)])

    def slower(self, workload: Workload, policy: str, other: str, *, slack: float) -> float:
        """The share of pairs of runs in which a policy takes longer than another one, by more than the slack."""

        def share() -> float:
            pairs = list(product(self.of(workload, policy), self.of(workload, other)))
            return sum(run.seconds > most.seconds + slack for run, most in pairs) / len(pairs)

        return self._repeated(share, [(workload, policy), (workload, other)], enough=0.5)

    def _repeated(
        self, figure: Callable[[], float], pairs: Sequence[tuple[Workload, str]], *, enough: float = 0
    ) -> float:
        """What comes of the runs so far, or of more of these, as long as it is above what is enough."""
        while True:
            found = figure()
            if found <= enough or len(self.of(*pairs[0])) == MOST_RUNS:
                return found
            self.measure(pairs)

    def all(self) -> list[Run]:
        return [run for runs in self._runs.values() for run in runs]

    def _job(self, workload: Workload, policy: str) -> Job:
        return Job(workload=workload, policy=policy, into_burst=INTO_BURST if workload.rates else 0)


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    with new_lab() as lab:
        lab.up(hosts=4, link=LINK, say=lambda _: None)
        found = Measured(Lanes(lab, POLICIES))
        found.measure(
            [
                *((each, policy) for each in HOPELESS_ONES for policy in (OVIRT, GENTLE, POST_COPY, HARD)),
                (LARGE, AT_ONCE),
                (HOPELESS, ONE_SECOND),
                (JUST_ABOVE, ONE_SECOND),
                *((each, policy) for each in EASY for policy in (PLAIN, GENTLE, POST_COPY)),
            ]
        )
        yield found


def names(workload: Workload) -> str:
    return workload.name


@pytest.mark.parametrize("policy", [GENTLE, POST_COPY])
@pytest.mark.parametrize(
    ("workload", "slack"), [(IDLE, 0.5), (BORDERLINE, 1), (BURSTS, 1)], ids=["W1", "W2", "W5"]
)
def test_an_easy_guest_is_left_alone_and_not_slower_than_with_plain_libvirt(
    measured: Measured, workload: Workload, slack: float, policy: str
) -> None:
    assert measured.slower(workload, policy, PLAIN, slack=slack) < HARDLY_CHANCE
    for run in measured.of(workload, policy):
        assert run.attempts == 1
        assert "switchToPostCopy" not in "".join(run.actions)


@pytest.mark.parametrize(
    ("workload", "ratio"), [(HOPELESS, 0.6), (JUST_ABOVE, 0.8), (LARGE, 0.8)], ids=["W3", "W6b", "W7"]
)
def test_a_hopeless_guest_that_may_be_throttled_moves_in_a_part_of_the_time(
    measured: Measured, workload: Workload, ratio: float
) -> None:
    assert measured.excess(workload, GENTLE, OVIRT, ratio=ratio) <= 0


@pytest.mark.parametrize("workload", HOPELESS_ONES, ids=names)
def test_a_hopeless_guest_that_may_be_throttled_hard_moves_in_half_the_time(
    measured: Measured, workload: Workload
) -> None:
    assert measured.excess(workload, HARD, OVIRT, ratio=0.5) <= 0


@pytest.mark.parametrize("workload", HOPELESS_ONES, ids=names)
def test_a_hopeless_guest_that_may_end_in_post_copy_moves_in_less_than_half_the_time(
    measured: Measured, workload: Workload
) -> None:
    assert measured.excess(workload, POST_COPY, OVIRT, ratio=0.45) <= 0
    for run in measured.of(workload, POST_COPY):
        assert run.attempts == 1
        if workload != JUST_ABOVE:  # which may have luck
            assert "".join(run.actions[-1:]).endswith("switchToPostCopy")


@pytest.mark.parametrize("workload", [HOPELESS, JUST_ABOVE], ids=["W3", "W6b"])
def test_hard_and_short_throttling_costs_the_guest_less_than_gentle_and_long(
    measured: Measured, workload: Workload
) -> None:
    assert measured.excess(workload, HARD, OVIRT, ratio=0.65, figure=lambda run: run.lost) <= 0


def test_post_copy_after_the_first_pass_is_near_what_is_possible_at_all(measured: Measured) -> None:
    assert measured.above(LARGE, AT_ONCE, 1.15 * bound(LARGE), lambda run: run.seconds) <= 0


@pytest.mark.parametrize("workload", [HOPELESS, JUST_ABOVE], ids=["W3", "W6b"])
def test_a_second_that_is_granted_at_once_ends_it_soon(measured: Measured, workload: Workload) -> None:
    """Peers that raise the downtime by a ladder take ten times as long (46 s and 37 s)."""
    assert measured.excess(workload, ONE_SECOND, OVIRT, ratio=0.45) <= 0


@pytest.mark.parametrize("workload", [IDLE, BORDERLINE], ids=names)
def test_an_easy_guest_is_stopped_for_little_longer_than_preferred(
    measured: Measured, workload: Workload
) -> None:
    """QEMU reckons with memory alone; the rest of a switch-over comes on top."""
    assert measured.above(workload, POST_COPY, PREFERRED + 0.1, lambda run: run.downtime) <= 0


def test_stops_stay_within_what_the_objective_allows(measured: Measured) -> None:
    """None is granted more; QEMU, which can't know how fast a guest will write a moment later, may exceed it."""

    def planned() -> list[Run]:
        return [run for run in measured.all() if run.job.policy in {GENTLE, HARD, POST_COPY}]

    for pair in {(run.job.workload, run.job.policy) for run in planned()}:
        assert measured.above(*pair, MAX_DOWNTIME, lambda run: run.downtime) <= 0, pair
    for run in planned():
        granted = [each.rpartition(" → ")[2] for each in run.actions if "setMaxDowntime" in each]
        assert all(parse_duration(each) <= timedelta(seconds=MAX_DOWNTIME) for each in granted), run
    stops = sorted(math.inf if run.downtime is None else run.downtime for run in planned())
    assert len(stops) >= 15
    assert sum(stop > MAX_DOWNTIME for stop in stops) <= len(stops) / 10
    assert stops[-2] <= 1.25 * MAX_DOWNTIME
    assert stops[-1] <= 2 * MAX_DOWNTIME


def test_every_guest_arrives_and_all_memory_is_intact(measured: Measured) -> None:
    runs = measured.all()
    assert all(run.intact for run in runs)
    assert all(run.moved for run in runs if run.job.policy != OVIRT)  # which gives up at the ninth pass


@pytest.mark.parametrize(
    ("workload", "policy", "most"),
    [
        (HOPELESS, HARD, 4.5),
        (HOPELESS, POST_COPY, 4.5),
        (LARGE, HARD, 4),
        (LARGE, POST_COPY, 4),
    ],
    ids=["W3 hard", "W3 post-copy", "W7 hard", "W7 post-copy"],
)
def test_the_bytes_sent_stay_within_a_few_times_what_the_guest_has_touched(
    measured: Measured, workload: Workload, policy: str, most: float
) -> None:
    assert measured.above(workload, policy, most * workload.touched, lambda run: run.sent) <= 0
