"""Whose turn it is: limits, one migration per VM, and a queue in which nobody starves."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import NOW, after, first_desired, migration, policy, source, target, vm

from vmferry_api.migrations import (
    AppliedPolicy,
    Attempt,
    AttemptOutcome,
    Phase,
    Queue,
    SourceReport,
    VMMigration,
    VMMigrationStatus,
)
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.admission import Turns
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.occupancy import occupies

P = policy("p", concurrency={"outgoingPerNode": 1, "incomingPerNode": 1, "perCluster": 3})
URGENT = policy("urgent", queuePriority=10, concurrency=P.spec.concurrency.as_json())
DESIRED = first_desired(P.spec)
LATER = after(3600)


def one(name, route="ab", *, at=0.0, queued=None, runs=False, by="p", uuid=None, status=None, spec=None):
    """A migration of the VM `name` along route `ab`, created so many seconds after NOW."""
    made = VMMigrationStatus(
        source=SourceReport(vm=vm().replace(uuid=uuid or name)),
        target=target(),
        policy=AppliedPolicy(name=by),
        phase=Phase.RUNNING if runs else Phase.PENDING,
        desired=DESIRED if runs else None,
        attempts=[Attempt(number=1, start=NOW)] if runs else [],
        queue=None
        if queued is None
        else Queue(position=1, since=after(queued), waiting_for="perCluster", priority=0),
    )
    metadata = {"uid": name, "name": name, "creationTimestamp": after(at)}
    words = {"vm": name, "sourceNode": f"node-{route[0]}", "targetNode": f"node-{route[1]}"}
    return migration(status or made, metadata, **words, **(spec or {}))


def others(*migrations: VMMigration, policies: tuple[MigrationPolicy, ...] = (P, URGENT)) -> Turns:
    return Cluster(migrations, policies).turns


def place(me, *around, by=P, now=LATER):
    return others(*around).place(me, by.spec, now=now)


@pytest.mark.parametrize(
    ("around", "waiting_for"),
    [
        ([], None),
        ([one("x", "cd", runs=True)], None),
        ([one("x", "ac", runs=True)], "outgoingPerNode"),
        ([one("x", "cb", runs=True)], "incomingPerNode"),
        ([one("x", "ba", runs=True)], None),
        ([one(f"x{n}", f"{n}{n + 3}", runs=True) for n in range(3)], "perCluster"),
        ([one("x", "bd", runs=True, uuid="me")], "vm"),
        ([one("x", "da", runs=True, uuid="me")], "vm"),
        ([one("x", "cd", runs=True, uuid="me")], None),
    ],
)
def test_what_is_full_keeps_it_waiting(around, waiting_for):
    found = place(one("me"), *around)
    assert (found and found.waiting_for) == waiting_for


def test_two_migrations_of_a_vm_never_run_at_once_even_before_its_uuid_is_known():
    generous = policy("p", concurrency={"outgoingPerNode": 9, "incomingPerNode": 9, "perCluster": 9})
    nameless = one("me", "ac", runs=True, status=VMMigrationStatus(desired=DESIRED))
    me = one("me").replace(metadata=one("other").metadata)
    assert place(me, nameless, by=generous).waiting_for == "vm"


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        (VMMigrationStatus(source=source(), target=target()), False),
        (VMMigrationStatus(desired=DESIRED), True),
        (VMMigrationStatus(desired=DESIRED, attempts=[Attempt(number=1, start=NOW)]), True),
        (VMMigrationStatus(desired=DESIRED, phase=Phase.FAILED), False),
        (
            VMMigrationStatus(
                desired=DESIRED,
                attempts=[Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.COMPLETED)],
            ),
            True,
        ),
        (
            VMMigrationStatus(
                desired=DESIRED,
                attempts=[Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.FAILED)],
            ),
            False,
        ),
        (
            VMMigrationStatus(
                desired=DESIRED.replace(attempt=2),
                attempts=[Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.RESTARTED)],
            ),
            True,
        ),
    ],
)
def test_a_slot_is_taken_from_the_order_to_start_until_both_hosts_have_told_the_end(status, taken):
    assert occupies(migration(status)) == taken


def test_the_older_one_goes_first():
    older, me = one("older", "ac", at=0, queued=0), one("me", at=5)
    found = place(me, older)
    assert (found.position, found.waiting_for) == (2, "outgoingPerNode")
    assert place(older, one("me", at=5, queued=5)) is None


def test_who_can_t_go_yet_lets_others_pass():
    blocked = one("blocked", "cb", at=3590, queued=3590)
    full = one("x", "db", runs=True)
    assert place(one("me", "ce", at=3595), full, blocked) is None


@pytest.mark.parametrize("queued", [0, 3590])
def test_who_is_old_keeps_its_place_free_even_if_its_hosts_were_not_ready_for_a_moment(queued):
    blocked = one("blocked", "cb", at=0, queued=queued)
    full = one("x", "db", runs=True)
    assert place(one("me", "ce", at=5), full, blocked).waiting_for == "outgoingPerNode"


STRICT = policy("strict", concurrency={"outgoingPerNode": 1, "perCluster": 9})
GENEROUS = policy("generous", concurrency={"outgoingPerNode": 9, "perCluster": 9})


@pytest.mark.parametrize(("waited", "passes"), [(200, True), (400, False)])
def test_a_strict_policy_s_migration_is_not_passed_by_generous_ones_for_ever(waited, passes):
    runs = [one(f"x{n}", f"a{n}", runs=True, by="generous") for n in (1, 2)]
    at = 3600 - waited
    strict = one("strict", "ac", at=at, queued=3599, by="strict")
    around = others(*runs, strict, policies=(STRICT, GENEROUS))
    found = around.place(one("me", "ad", at=at + 5), GENEROUS.spec, now=LATER)
    assert (found is None) == passes
    if found is not None:
        assert found.waiting_for == "outgoingPerNode"
        assert (
            found.message
            == "what is free from node-a is for those before it (concurrency.outgoingPerNode: 9)"
        )


def test_who_comes_next_lets_the_one_before_it_start_even_if_its_own_limit_is_higher():
    strict = one("strict", "ac", at=0, queued=0, by="strict")
    me, policies = one("me", "ad", at=5), (STRICT, GENEROUS)
    assert others(me, policies=policies).place(strict, STRICT.spec, now=LATER) is None
    assert others(strict, policies=policies).place(me, GENEROUS.spec, now=LATER) is not None
    runs = one("strict", "ac", runs=True, by="strict")
    assert others(runs, policies=policies).place(me, GENEROUS.spec, now=LATER) is None


def test_nothing_is_kept_for_one_that_waits_for_another_migration_of_its_vm():
    runs = one("x", "ac", runs=True, uuid="same", by="generous")
    blocked = one("blocked", "ad", at=0, queued=0, uuid="same", by="strict")
    around = others(runs, blocked, policies=(STRICT, GENEROUS))
    assert around.place(one("me", "ae", at=5), GENEROUS.spec, now=LATER) is None


@pytest.mark.parametrize(("head_start", "first"), [(599, True), (601, False)])
def test_a_point_of_priority_counts_as_a_minute_of_waiting(head_start, first):
    older = one("older", "ac", at=0, queued=0)
    assert (place(one("me", at=head_start), older, by=URGENT, now=after(700)) is None) == first


def test_places_are_told_exactly_only_near_the_front():
    full = [one(f"x{n}", f"{n}{n + 3}", runs=True) for n in range(3)]
    queue = [one(f"q{n:02}", "ab", at=n, queued=n) for n in range(40)]
    near, far = (place(one("me", at=at), *full, *queue) for at in (18.5, 24.5))
    assert (near.position, far.position) == (20, 30)


def test_since_is_kept_and_the_limit_is_told():
    found = place(one("me", queued=7), one("x", "ac", runs=True))
    assert found.since == after(7)
    assert found.message == "1 migrations from node-a run (concurrency.outgoingPerNode: 1)"


NODES = st.sampled_from(["ab", "ac", "bc", "ba", "cd", "dc"])
QUEUES = st.lists(
    st.tuples(NODES, st.integers(0, 600), st.sampled_from(["p", "urgent"])),
    min_size=1,
    max_size=12,
)


@given(queue=QUEUES)
def test_whoever_is_admitted_one_after_the_other_no_limit_is_ever_exceeded_and_all_have_their_turn(queue):
    waiting = [one(f"q{n}", route, at=at, queued=at, by=by) for n, (route, at, by) in enumerate(queue)]
    running: list[VMMigration] = []
    rounds = 0
    while waiting:
        rounds += 1
        assert rounds <= 50
        now = LATER + timedelta(minutes=rounds)
        for each in others(*waiting, *running).worth_a_look(now=now):
            by = {"p": P, "urgent": URGENT}[each.status.policy.name]
            if place(each, *waiting, *running, by=by, now=now) is None:
                waiting.remove(each)
                running.append(each.replace(status=each.status.replace(queue=None, desired=DESIRED)))
        assert len(running) <= 3
        for end in (lambda each: each.spec.source_node, lambda each: each.spec.target_node):
            nodes = [end(each) for each in running]
            assert len(nodes) == len(set(nodes))
        assert running
        running.pop(0)


def test_those_behind_hear_of_their_turn():
    full = one("x", "db", runs=True)
    queue = [one(f"q{n:02}", "cb", at=n, queued=3590) for n in range(30)]
    free = one("free", "ef", at=100, queued=3590)
    assert free in others(full, *queue, free).worth_a_look(now=LATER)


@given(
    queue=QUEUES,
    runs=st.lists(NODES, max_size=3),
    by=st.sampled_from([P, URGENT]),
    edited=st.booleans(),
    now=st.integers(0, 900),
)
def test_whoever_asks_is_left_out_whatever_the_cluster_has_of_it(queue, runs, by, edited, now):
    """What is reckoned once for all is what would be reckoned for it alone, without it."""
    waiting = [one(f"q{n}", route, at=at, queued=at, by=name) for n, (route, at, name) in enumerate(queue)]
    running = [one(f"r{n}", route, runs=True) for n, route in enumerate(runs)]
    around = others(*waiting, *running)
    for each in waiting:
        mine = by if edited else {"p": P, "urgent": URGENT}[each.status.policy.name]
        alone = others(*(other for other in [*waiting, *running] if other is not each))
        found = around.place(each, mine.spec, now=after(now))
        assert found == alone.place(each, mine.spec, now=after(now))
