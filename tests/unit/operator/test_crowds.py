"""Many migrations at once, each decided on in turn: slots, places in the queue, and shares of bandwidth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migrations_in_words import after, migration, policy, source, target, vm
from objects_as_stored import reported, written

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, VMMigration, VMMigrationStatus, VMState
from vmferry_api.policies import Concurrency
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.decide import Surroundings, decide
from vmferry_operator.decisions.occupancy import occupies

MI = 2**20
EVERY = 5
"""Seconds between two rounds of decisions."""


class Crowd:
    """Migrations whose agents start them as they are told and report their end after a while.

    Args:
        policies: Their specs by name.
        order: In which order migrations are decided on; None: as they came.
    """

    def __init__(self, policies: Mapping[str, Mapping[str, object]], order: Random | None = None) -> None:
        self._policies = {name: policy(name, **spec) for name, spec in policies.items()}
        self._order = order
        self._lasts: dict[str, int] = {}
        self.now = 0
        self.all: dict[str, VMMigration] = {}
        self.started: list[str] = []

    def ask(self, name: str, route: str, by: str = "p", *, lasts: int = 10**6, of: str | None = None) -> None:
        """Create the migration of a VM along `ab`, say."""
        words = {"vm": of or name, "sourceNode": f"node-{route[0]}", "targetNode": f"node-{route[1]}"}
        own = source().vm
        assert own is not None
        hosts = VMMigrationStatus(source=source().replace(vm=own.replace(uuid=of or name)), target=target())
        metadata = {"uid": name, "name": name, "creationTimestamp": after(self.now)}
        self.all[name] = migration(hosts, metadata, policyRef={"name": by}, **words)
        self._lasts[name] = lasts

    def edit(self, name: str, **spec: object) -> None:
        """Change a policy."""
        self._policies[name] = policy(name, **spec)

    def round(self) -> None:
        """The agents do what is wanted, then each migration is decided on until there is nothing new."""
        self.now += EVERY
        for name in self.all:
            self._work(name)
        for _ in range(20):
            names = list(self.all)
            if self._order is not None:
                self._order.shuffle(names)
            changed = [name for name in names if self._decide(name)]
            if not changed:
                return
        raise AssertionError("never at rest")

    def running(self) -> list[str]:
        """Those that run or have been told to."""
        return [name for name, each in self.all.items() if occupies(each)]

    def shares(self) -> dict[str, int]:
        """What each may take, in MiB/s."""
        desired = {name: self.all[name].status.desired for name in self.running()}
        return {name: each.share // MI for name, each in desired.items() if each and each.share}

    def limits(self, name: str) -> Concurrency:
        """Those of its policy."""
        ref = self.all[name].spec.policy_ref
        return self._policies[ref.name if ref else ""].spec.concurrency or Concurrency()

    def _decide(self, name: str) -> bool:
        before = self.all[name]
        if before.status.phase is not None and before.status.phase.terminal:
            return False
        around = Surroundings(
            policies=list(self._policies.values()),
            namespace_labels={},
            cluster=Cluster(self.all.values(), self._policies.values()),
        )
        self.all[name] = written(before, decide(before, around, now=after(self.now)))
        if occupies(self.all[name]) and not occupies(before):
            self.started.append(name)
            self._check(name)
        return self.all[name].status != before.status

    def _check(self, name: str) -> None:
        """At its start no limit of its policy is exceeded."""
        spec, limits = self.all[name].spec, self.limits(name)
        running = [self.all[other].spec for other in self.running()]
        assert len(running) <= limits.per_cluster
        assert sum(each.source_node == spec.source_node for each in running) <= limits.outgoing_per_node
        assert sum(each.target_node == spec.target_node for each in running) <= limits.incoming_per_node
        assert max(Counter(each.vm for each in running).values()) == 1

    def _work(self, name: str) -> None:
        it = self.all[name]
        desired, attempts = it.status.desired, it.status.attempts
        if desired is None or (it.status.phase is not None and it.status.phase.terminal):
            return
        if not attempts:
            begun = Attempt(number=1, start=after(self.now))
            self.all[name] = reported(it, attempts=[begun])
        elif after(self.now) - attempts[0].start >= timedelta(seconds=self._lasts[name]):
            over = attempts[0].replace(end=after(self.now), outcome=AttemptOutcome.COMPLETED)
            there = target(seen=vm(VMState.RUNNING, "Migrated"))
            here = it.status.source
            assert here is not None
            assert here.vm is not None
            gone = here.replace(vm=here.vm.replace(state=VMState.ABSENT, reason=None))
            self.all[name] = reported(it, attempts=[over], target=there, source=gone)


def waiting(crowd: Crowd, name: str) -> tuple[int, str] | None:
    queue = crowd.all[name].status.queue
    return None if queue is None else (queue.position, queue.waiting_for)


ONE = {"concurrency": {"outgoingPerNode": 1, "incomingPerNode": 1, "perCluster": 9}}


def test_who_waits_is_told_its_place_and_what_is_full() -> None:
    crowd = Crowd({"p": ONE})
    for name in ("one", "two", "three"):
        crowd.ask(name, "ab", lasts=20)
        crowd.round()
    assert [waiting(crowd, name) for name in ("one", "two", "three")] == [
        None,
        (1, "outgoingPerNode"),
        (2, "outgoingPerNode"),
    ]
    told = find_condition(crowd.all["three"].status.conditions, ConditionType.RECONCILING)
    assert told is not None
    assert told.reason == "Queued"
    assert told.message == (
        "place 2 in the queue: 1 migrations from node-a run (concurrency.outgoingPerNode: 1)"
    )
    for _ in range(5):
        crowd.round()
    assert [waiting(crowd, name) for name in ("two", "three")] == [None, (1, "outgoingPerNode")]


@pytest.mark.parametrize(
    ("limits", "at_once"),
    [
        ({"outgoingPerNode": 9, "incomingPerNode": 9, "perCluster": 2}, 2),
        ({"outgoingPerNode": 9, "incomingPerNode": 9, "perCluster": 5}, 5),
        ({"outgoingPerNode": 1, "incomingPerNode": 9, "perCluster": 9}, 3),
        ({}, 6),
    ],
)
def test_so_many_run_at_once(limits: dict[str, int], at_once: int) -> None:
    crowd = Crowd({"p": {"concurrency": limits}})
    for number in range(9):
        crowd.ask(f"m{number}", f"{'abc'[number % 3]}{'def'[number % 3]}")
    crowd.round()
    assert len(crowd.running()) == at_once


def test_the_higher_priority_goes_first_whoever_is_looked_at_first() -> None:
    crowd = Crowd({"p": ONE, "urgent": {**ONE, "queuePriority": 10}})
    crowd.ask("first", "ab", lasts=10)
    crowd.round()
    crowd.ask("plain", "ab")
    crowd.ask("hurried", "ab", "urgent")
    for _ in range(6):
        crowd.round()
    assert crowd.started == ["first", "hurried"]


def test_a_migration_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    crowd = Crowd({"p": ONE})
    for name in ("one", "two", "three"):
        crowd.ask(name, "ab")
        crowd.round()
    two = crowd.all["two"]
    crowd.all["two"] = two.replace(spec=two.spec.replace(cancel=True))
    crowd.round()
    assert crowd.all["two"].status.phase == Phase.CANCELLED
    assert crowd.all["two"].status.queue is None
    assert waiting(crowd, "three") == (1, "outgoingPerNode")


SHARED = {"bandwidth": {"perNode": "90Mi"}, "concurrency": {"outgoingPerNode": 9, "incomingPerNode": 9}}


def test_bandwidth_is_shared_anew_as_others_come_and_go() -> None:
    crowd = Crowd({"p": SHARED})
    seen = []
    for name, lasts in (("one", 10**6), ("two", 15), ("three", 10**6)):
        crowd.ask(name, "ab", lasts=lasts)
        crowd.round()
        seen.append(crowd.shares())
    for _ in range(3):
        crowd.round()
    assert [*seen, crowd.shares()] == [
        {"one": 90},
        {"one": 45, "two": 45},
        {"one": 30, "two": 30, "three": 30},
        {"one": 45, "three": 45},
    ]
    desired = crowd.all["one"].status.desired
    assert desired is not None
    assert (desired.revision, desired.reason) == (4, "the nodes' bandwidth is shared anew")


def test_what_a_cap_leaves_over_is_the_others_and_a_cap_that_is_raised_takes_it_back_at_once() -> None:
    capped = {**SHARED, "bandwidth": {"perNode": "90Mi", "perMigration": "20Mi"}}
    crowd = Crowd({"p": SHARED, "capped": capped})
    crowd.ask("one", "ab", "capped")
    crowd.ask("two", "ab")
    crowd.round()
    assert crowd.shares() == {"one": 20, "two": 70}
    crowd.edit("capped", **{**capped, "bandwidth": {"perNode": "90Mi", "perMigration": "40Mi"}})
    crowd.round()
    assert crowd.shares() == {"one": 40, "two": 50}
    desired = crowd.all["one"].status.desired
    assert desired is not None
    assert (desired.revision, desired.reason) == (2, "the policy now says so: bandwidth, share")


POLICIES: list[dict[str, dict[str, object]]] = [
    {"p": ONE, "q": {"queuePriority": 5, "concurrency": {"outgoingPerNode": 3, "perCluster": 3}}},
    {"p": {"concurrency": {"perCluster": 1}}, "q": {"bandwidth": {"perNode": "100Mi"}}},
    {"p": {}, "q": {"concurrency": {"outgoingPerNode": 2, "incomingPerNode": 1, "perCluster": 4}}},
]
ASKED = st.lists(
    st.tuples(
        st.sampled_from(["ab", "ac", "bc", "ba", "cb"]),
        st.sampled_from("pq"),
        st.sampled_from([5, 20, 60]),
        st.sampled_from(["one", "other", None, None, None]),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies=st.sampled_from(POLICIES), asked=ASKED, order=st.integers(0, 99))
def test_in_whatever_order_they_are_looked_at_no_slot_is_taken_twice_no_vm_moved_twice_and_all_have_their_turn(
    policies: dict[str, dict[str, object]],
    asked: Sequence[tuple[str, str, int, str | None, int]],
    order: int,
) -> None:
    crowd = Crowd(policies, Random(order))
    for number, (route, by, lasts, of, pause) in enumerate(asked):
        crowd.ask(f"m{number}", route, by, lasts=lasts, of=of)
        for _ in range(pause):
            crowd.round()
    for _ in range(150):
        crowd.round()
        if len(crowd.started) == len(asked):
            break
    assert sorted(crowd.started) == sorted(crowd.all)


def draining(nodes: str) -> Crowd:
    """A crowd of two migrations that run from each node and five that have waited there for long."""
    crowd = Crowd({"p": {}})
    for node in nodes:
        for number in range(7):
            crowd.ask(f"{node}{number}", f"{node}{'tuvw'[number % 4]}")
    crowd.round()
    crowd.now += 360
    crowd.round()
    return crowd


@pytest.mark.parametrize("nodes", ["a", "abcd"])
def test_however_many_wait_for_one_node_the_others_go_on(nodes: str) -> None:
    """Only so many of them keep anything as that node could ever take, and of the cluster nothing."""
    crowd = draining(nodes)
    before = len(crowd.started)
    for number in range(20 - before):
        crowd.ask(f"x{number}", f"{'ghijklmnop'[number // 2]}{'GHIJKLMNOP'[number // 2]}")
    crowd.round()
    assert len(crowd.started) == 20


def test_of_a_target_s_slots_those_are_kept_that_a_full_source_could_use_next() -> None:
    crowd = Crowd({"p": {"concurrency": {"incomingPerNode": 5}}})
    for number in range(9):
        crowd.ask(f"a{number}", f"a{'t' if number > 1 else 'u'}")
    crowd.round()
    crowd.now += 360
    crowd.round()
    for node in "bcde":
        crowd.ask(node, f"{node}t")
    crowd.round()
    assert crowd.started == ["a0", "a1", "b", "c", "d"]
    assert waiting(crowd, "e") == (8, "incomingPerNode")


def test_a_migration_under_a_strict_policy_has_its_turn_though_others_keep_coming_under_a_generous_one() -> (
    None
):
    crowd = Crowd({"p": {"concurrency": {"perCluster": 1}}, "q": {"concurrency": {"perCluster": 9}}})
    for number in range(80):
        crowd.ask(f"m{number}", f"{number % 7}x", "q", lasts=15)
        if number == 3:
            crowd.ask("strict", "ab", lasts=15)
        crowd.round()
        if "strict" in crowd.started:
            return
    raise AssertionError("it still waits")
