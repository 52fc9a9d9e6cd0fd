"""Who leads: never two, whatever is delayed, lost or frozen; and how soon another one does."""

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmferry_operator.decisions.election import JITTER, Candidate, Found, Record, Timing

TIMING = Timing()
DURATION = TIMING.lease_duration.total_seconds()
DEADLINE = TIMING.renew_deadline.total_seconds()
RETRY = TIMING.retry_period.total_seconds()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class RefusedError(Exception):
    """The Lease has another version by now."""


class Server:
    """Has one Lease, and takes writes that hold for its version."""

    def __init__(self):
        self.lease = None
        self.versions = 0

    def take(self, request):
        if request.write is None:
            return self.lease
        if request.version != (self.lease.version if self.lease else None):
            raise RefusedError
        self.versions += 1
        self.lease = Found(record=request.write, version=str(self.versions))
        return self.lease


TIGHT = Timing(renew_deadline=timedelta(seconds=9.5))
"""So that nothing is forgiven: what the clocks' rates may differ by is nearly all that is left."""
RATES = (0.98, 1.02)
SIMULATED = 300.0
"""Seconds of each run."""


@dataclass
class Node:
    """Where one operator runs: a clock that began anywhere and goes at its own rate, and a wrong wall clock."""

    candidate: Candidate
    offset: float
    rate: float
    wrong_by: float
    waits_for: int = 0
    """The number of the request that it waits for; 0: for none."""

    def now(self, real):
        return self.offset + real * self.rate

    def time(self, real):
        return NOW + timedelta(seconds=real + self.wrong_by)

    def leads(self, real):
        return self.candidate.leads(self.now(real))


class World:
    """Three operators and an API server; chance decides what is slow, lost, frozen, killed or ended in order."""

    def __init__(self, chance):
        self.chance = chance
        self.server = Server()
        self.nodes = {}
        self.born = 0
        self.asked = 0
        self.events = []
        self.planned = count()
        self.leaders = []
        for _ in range(3):
            self.begin(0.0)

    def run(self):
        while self.events and self.events[0][0] < SIMULATED:
            real, _, happen = heapq.heappop(self.events)
            happen(real)
            self.check(real)

    def check(self, real):
        leading = [name for name, node in self.nodes.items() if node.leads(real)]
        assert len(leading) <= 1, f"{leading} may write at {real}"
        assert all(self.server.lease.record.holder == name for name in leading)
        if leading and leading != self.leaders[-1:]:
            self.leaders += leading

    def at(self, real, happen):
        heapq.heappush(self.events, (real, next(self.planned), happen))

    def begin(self, real):
        self.born += 1
        name = f"operator-{self.born}"
        self.nodes[name] = Node(
            candidate=Candidate(identity=name, timing=TIGHT),
            offset=self.chance.uniform(-1e5, 1e5),
            rate=self.chance.uniform(*RATES),
            wrong_by=self.chance.uniform(-1e5, 1e5),
        )
        self.at(real, partial(self.wake, name))

    def wake(self, name, real):
        """It asks for what is next, unless it has just been killed or ended."""
        node = self.nodes[name]
        fate = self.chance.random()
        if fate < 0.02:
            self.end(name, real, orderly=fate < 0.01)
            return
        request = node.candidate.next_request(now=node.now(real), time=node.time(real))
        self.asked += 1
        node.waits_for = self.asked
        self.send(name, request, self.asked, real)
        self.at(
            self.awake(real + node.candidate.patience(node.now(real)) / node.rate),
            partial(self.give_up, name, self.asked),
        )

    def send(self, name, request, number, real):
        if self.chance.random() < 0.9:  # else it is lost
            self.at(real + self.slow(), partial(self.arrive, name, request, number))

    def arrive(self, name, request, number, real):
        """Also long after nobody waits for it any more, or is there."""
        try:
            answer = self.server.take(request)
        except RefusedError as refused:
            answer = refused
        if self.chance.random() < 0.9:
            self.at(self.awake(real + self.slow()), partial(self.take_in, name, request, number, answer))

    def take_in(self, name, request, number, answer, real):
        node = self.nodes.get(name)
        if node is None or node.waits_for != number:
            return
        node.waits_for = 0
        if isinstance(answer, RefusedError):
            node.candidate = node.candidate.unanswered()
        else:
            node.candidate = node.candidate.answered(request, answer, now=node.now(real))
        pause = node.candidate.pause(node.now(real), jitter=self.chance.uniform(1, JITTER))
        self.at(self.awake(real + pause / node.rate), partial(self.wake, name))

    def give_up(self, name, number, real):
        node = self.nodes.get(name)
        if node is not None and node.waits_for == number:
            node.waits_for = 0
            node.candidate = node.candidate.unanswered()
            self.at(self.awake(real + RETRY), partial(self.wake, name))

    def end(self, name, real, *, orderly):
        """From then on it writes nothing, whatever becomes of the release."""
        node = self.nodes.pop(name)
        request = node.candidate.release(now=node.now(real), time=node.time(real))
        if orderly and request is not None:
            self.send(name, request, 0, real)
        self.begin(real + self.chance.uniform(0, 30))

    def slow(self):
        return self.chance.choice((0.01, 0.01, 0.01, self.chance.uniform(0, 15)))

    def awake(self, real):
        """Nothing happens in a process that is frozen."""
        return real + (self.chance.uniform(0, 25) if self.chance.random() < 0.05 else 0.0)


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_never_do_two_write_whatever_is_slow_lost_frozen_or_killed(seed):
    World(Random(seed)).run()


def test_leaders_do_change_in_such_a_world():
    changes = [0]
    for seed in range(20):
        world = World(Random(seed))
        world.run()
        changes.append(len(world.leaders))
    assert sum(changes) > 60


class Operator:
    """One of them, whose requests all go well."""

    def __init__(self, name, server, *, jitter=1.0):
        self.candidate = Candidate(identity=name, timing=TIMING)
        self.server = server
        self.next_at = 0.0
        self.jitter = jitter

    def turn(self, now):
        request = self.candidate.next_request(now=now, time=NOW + timedelta(seconds=now))
        self.candidate = self.candidate.answered(request, self.server.take(request), now=now)
        self.next_at = now + self.candidate.pause(now, jitter=self.jitter)
        return self.candidate.leads(now)


def runs(operator, *, until, since=0.0):
    """Let it run; the time at which it leads, or None."""
    operator.next_at = max(operator.next_at, since)
    while operator.next_at <= until:
        now = operator.next_at
        if operator.turn(now):
            return now
    return None


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def leader(server):
    """One that leads since 0."""
    operator = Operator("first", server)
    assert runs(operator, until=0) == 0
    return operator


@pytest.fixture
def standby(server, leader):
    """One that has looked just before the leader's last renewal, at 20."""
    operator = Operator("second", server, jitter=JITTER)
    operator.turn(19.999)
    leader.turn(20.0)
    return operator


def test_the_first_one_leads_at_once(server):
    assert runs(Operator("first", server), until=0) == 0
    assert server.lease.record == Record(
        holder="first", lasts=TIMING.lease_duration, acquired=NOW, renewed=NOW, transitions=0
    )


def test_while_it_renews_nobody_else_leads(server, leader, standby):
    for second in range(21, 100):
        assert leader.turn(float(second))
        assert runs(standby, until=second) is None
    assert (server.lease.record.holder, server.lease.record.acquired) == ("first", NOW)


def test_after_a_kill_a_standby_leads_within_the_duration_and_a_look(leader, standby, server):
    taken_over = runs(standby, until=100) - 20
    assert DURATION <= taken_over <= DURATION + RETRY * JITTER < 15
    assert (server.lease.record.holder, server.lease.record.transitions) == ("second", 1)


def test_after_a_release_a_standby_leads_at_its_next_look(leader, standby, server):
    server.take(leader.candidate.release(now=20.1, time=NOW))
    assert server.lease.record.holder == ""
    assert runs(standby, until=100) - 20.1 <= RETRY * JITTER


def test_a_new_process_waits_for_a_lease_whose_age_it_can_not_know(leader, server):
    assert runs(Operator("third", server), until=1000, since=100) == 100 + DURATION


def test_whoever_leads_stops_before_its_lease_is_over_for_others(leader):
    assert leader.candidate.may_write_for(0.0) == DEADLINE
    assert leader.candidate.may_write_for(6.9) == pytest.approx(0.1)
    assert not leader.candidate.leads(7.0)
    assert leader.candidate.release(now=7.0, time=NOW) is None


def test_a_leader_that_slept_goes_on_when_nobody_has_taken_its_lease(leader, server):
    assert not leader.candidate.leads(60.0)
    assert leader.turn(60.0)
    assert (server.lease.record.acquired, server.lease.record.transitions) == (NOW, 0)


def test_a_leader_that_slept_for_too_long_sees_that_another_one_leads(leader, standby, server):
    runs(standby, until=100)
    request = leader.candidate.next_request(now=60.0, time=NOW)
    with pytest.raises(RefusedError):
        server.take(request)
    leader.candidate = leader.candidate.unanswered()
    assert leader.candidate.pause(60.0, jitter=1) == 0
    assert not leader.turn(60.0)


def test_what_another_one_has_seen_is_known_up_to_the_look_before_its_renewal(leader, standby):
    assert standby.candidate.another_led_until == 19.999, "of the first look nothing more is known"
    standby.turn(20.5)
    assert standby.candidate.another_led_until == 19.999, "the look before it saw the renewal at 20"
    leader.turn(21.0)
    standby.turn(21.5)
    assert standby.candidate.another_led_until == 20.5
    standby.turn(22.5)
    assert standby.candidate.another_led_until == 20.5, "nothing was renewed since"


def test_a_lease_that_is_deleted_is_still_its_holder_s_for_those_who_saw_it(leader, standby, server):
    standby.turn(20.5)
    server.lease = None
    assert runs(standby, until=100) == 20.5 + DURATION
    server.lease = None
    assert runs(Operator("third", server), until=50, since=50) == 50, "one that never saw it can't know"


def test_requests_end_before_a_leader_must_stop(leader):
    assert leader.candidate.patience(0.0) == DEADLINE / 2
    assert leader.candidate.patience(6.0) == pytest.approx(1)
    assert leader.candidate.patience(10.0) == DEADLINE / 2


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"lease_duration": 10.5}, "whole seconds"),
        ({"lease_duration": 0}, "whole seconds"),
        ({"renew_deadline": 10}, "must be shorter than the lease duration"),
        ({"retry_period": 6}, "must be longer than 1.2 retry periods"),
        ({"retry_period": 0}, "must be longer than 0"),
    ],
)
def test_times_that_do_not_fit_together_are_refused(times, says):
    with pytest.raises(ValueError, match=says):
        Timing(**{name: timedelta(seconds=seconds) for name, seconds in times.items()})
