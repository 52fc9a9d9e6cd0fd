"""The model of QEMU's migration: what must hold of it for any guest, and what each parameter does."""

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_guests import GIB, MIB, lab_guest, samples

from kubectl_vmferry.simulation.auto_converge import SyncPeriods
from kubectl_vmferry.simulation.dirty_pages import ZERO_PAGE_COST, DirtyPages
from kubectl_vmferry.simulation.guests import Guest, Pattern, Writer
from kubectl_vmferry.simulation.pre_copy import POST_COPY_STOP, SWITCH_OVER, ModelJob
from vmferry_agent.decisions.changes import Change, Parameter
from vmferry_api.migrations import MigrationTechnique
from vmferry_api.policies import AutoConverge

HOPELESS = lab_guest(80, 64, 32)
BANDWIDTH = 50 * MIB
A_WINDOW = 0.1
"""Seconds by which the model may be ahead: a window in which it looks for dirty pages takes a little longer."""


@st.composite
def guests(draw: st.DrawFn) -> Guest:
    memory = draw(st.integers(16, 4096)) * MIB
    used = draw(st.integers(1, memory // MIB)) * MIB
    working_set = draw(st.integers(1, used // MIB)) * MIB
    return Guest(
        memory=memory,
        used=used,
        working_set=working_set,
        dirty_rate=draw(st.floats(0, 4e9)),
        pattern=draw(st.sampled_from(Pattern)),
        phase=draw(st.floats(0, 1)),
        tick=draw(st.none() | st.just(0.004)),
    )


rates = st.floats(1e6, 5e9)
limits = st.floats(0.005, 5)


def job(guest: Guest = HOPELESS, **options) -> ModelJob:
    return ModelJob(guest, **{"link": 55e6, "bandwidth": BANDWIDTH, **options})


def after(job: ModelJob, seconds: float, *changes: Change) -> ModelJob:
    """The job, with something set at a moment, run for an hour in all."""
    job.run_until(seconds)
    for change in changes:
        job.set(change)
    job.run_until(3600)
    return job


def change(parameter: Parameter, value) -> Change:
    return Change(parameter=parameter, value=value)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e9)),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_dirty_is_sent_or_remains(rounds):
    pages = DirtyPages(GIB, GIB)
    dirtied, sent = float(GIB), 0.0
    for start, length, share, budget in rounds:
        went = pages.send(budget)
        assert 0 <= went <= budget + 1
        sent += went
        dirtied += pages.mark(start * GIB, length * (1 - start) * GIB, share)
        assert -1 <= pages.remaining <= GIB + 1
        assert sent + pages.remaining == pytest.approx(dirtied, rel=1e-6, abs=len(rounds))


def test_pages_of_zeros_cost_nearly_nothing():
    pages = DirtyPages(GIB, GIB // 2)
    assert pages.on_the_wire == GIB / 2 * (1 + ZERO_PAGE_COST)
    assert pages.send(math.inf) == pytest.approx(GIB / 2 * (1 + ZERO_PAGE_COST))
    assert pages.remaining == 0


@given(guests(), rates, limits, st.none() | rates)
@settings(max_examples=15, deadline=None)
def test_time_passes_and_bytes_only_grow_and_nothing_is_sent_faster_than_the_link(
    guest, link, limit, bandwidth
):
    running = job(guest, link=link, bandwidth=bandwidth, max_downtime=limit)
    before = running.sample()
    for now, sample in samples(running, until=20, every=0.7):
        assert before.elapsed <= sample.elapsed
        assert sample.elapsed <= timedelta(seconds=now + A_WINDOW) or running.end is not None
        assert sample.memory_pass >= before.memory_pass
        until = now if running.end is None else running.end.time
        assert before.transferred <= sample.transferred <= link * until + 1
        assert 0 <= sample.remaining <= guest.memory + 1
        before = sample


@given(guests(), rates, limits, st.none() | rates)
@settings(max_examples=15, deadline=None)
def test_it_never_switches_over_to_a_longer_stop_than_granted(guest, link, limit, bandwidth):
    running = job(guest, link=link, bandwidth=bandwidth, max_downtime=limit)
    running.run_until(60)
    if running.end is not None:
        assert running.end.moved
        assert 0 < running.end.downtime <= limit + SWITCH_OVER + 0.001


@given(guests(), rates, limits)
@settings(max_examples=15, deadline=None)
def test_how_often_it_is_looked_at_changes_nothing(guest, link, limit):
    often, seldom = (job(guest, link=link, bandwidth=None, max_downtime=limit) for _ in range(2))
    for _ in samples(often, until=30):
        pass
    seldom.run_until(30.05)
    assert (often.end is None) == (seldom.end is None)
    if often.end is not None and seldom.end is not None:
        assert often.end.time == pytest.approx(seldom.end.time, abs=0.11)
        assert often.end.downtime == pytest.approx(seldom.end.downtime, abs=0.002)


@given(guests(), rates, limits)
@settings(max_examples=15, deadline=None)
def test_windows_that_are_gone_through_at_once_come_out_as_one_by_one(guest, link, limit):
    at_once, one_by_one = (job(guest, link=link, bandwidth=None, max_downtime=limit) for _ in range(2))
    one_by_one._windows_alike = lambda: 0
    at_once.run_until(30.05)
    one_by_one.run_until(30.05)
    ours, theirs = at_once.sample(), one_by_one.sample()
    assert ours.memory_pass == theirs.memory_pass
    assert ours.transferred == pytest.approx(theirs.transferred, rel=0.01, abs=1000)
    assert (at_once.end is None) == (one_by_one.end is None)


@given(guests(), st.floats(0, 20))
@settings(max_examples=15, deadline=None)
def test_an_abort_leaves_the_vm_where_it_was(guest, moment):
    running = job(guest, max_downtime=0.001)
    running.run_until(moment)
    running.abort()
    assert running.end is not None
    assert not running.end.moved or running.end.time <= moment + 0.1


@given(guests(), st.floats(0.5, 20), rates)
@settings(max_examples=15, deadline=None)
def test_post_copy_ends_whatever_the_guest_writes(guest, moment, cap):
    running = job(guest, link=5e9, bandwidth=None, post_copy_bandwidth=cap)
    after(running, moment, change(Parameter.TECHNIQUE, MigrationTechnique.POST_COPY))
    running.run_until(1e6)
    assert running.end is not None
    assert running.end.moved
    assert running.end.time <= moment + 1 + guest.memory / min(cap, 5e9) + 0.2 or not running.in_post_copy


@given(guests(), st.floats(0.5, 20))
@settings(max_examples=15, deadline=None)
def test_a_suspended_guest_arrives_and_its_stop_counts_from_then(guest, moment):
    running = job(guest)
    running.run_until(moment)
    if running.end is not None:
        return
    running.set(change(Parameter.SUSPEND, value=True))
    running.run_until(1e6)
    assert running.end is not None
    assert running.end.moved
    assert running.end.downtime == pytest.approx(running.end.time - moment, abs=0.2)


def test_in_post_copy_nothing_aborts():
    running = job()
    running.run_until(3)
    running.set(change(Parameter.TECHNIQUE, MigrationTechnique.POST_COPY))
    running.run_until(3.4)
    running.abort()
    running.run_until(60)
    assert running.in_post_copy
    assert running.end.moved
    assert running.end.downtime == POST_COPY_STOP


@pytest.mark.parametrize(
    ("what", "changes", "ends_within"),
    [
        ("nothing", [], None),
        (
            "the limit is raised above what is needed",
            [change(Parameter.MAX_DOWNTIME, timedelta(seconds=2))],
            11,
        ),
        ("the cap is lifted on a fast link", [change(Parameter.BANDWIDTH, None)], 13),
        ("the guest is suspended", [change(Parameter.SUSPEND, value=True)], 12),
        ("post-copy is ordered", [change(Parameter.TECHNIQUE, MigrationTechnique.POST_COPY)], 12),
    ],
)
def test_a_hopeless_guest_arrives_once_something_is_done(what, changes, ends_within):
    end = after(job(link=1e9), 10, *changes).end
    assert (end is not None and end.moved and end.time < ends_within) if ends_within else end is None


def test_until_the_target_is_ready_there_is_no_pass():
    running = job(target_start=2)
    running.run_until(1.9)
    assert running.sample().memory_pass == 0
    running.run_until(2.2)
    assert running.sample().memory_pass == 1


def test_a_guest_that_writes_nothing_is_sent_once():
    running = after(job(Guest(memory=GIB, dirty_rate=0, working_set=0)), 0)
    assert running.end.time == pytest.approx(0.35 + GIB / BANDWIDTH, rel=0.02)
    assert running.sample().transferred == pytest.approx(GIB, rel=1e-6)


def test_two_bad_periods_throttle_and_each_two_more_throttle_harder():
    periods = SyncPeriods(AutoConverge(initial=20, increment=30), now=0)
    throttles = []
    for second in range(1, 9):
        periods.sync(60, 100 * second, now=1.01 * second)
        throttles.append(periods.throttle)
    assert throttles == [0, 20, 20, 50, 50, 80, 80, 99]
    assert periods.dirty_rate == pytest.approx(60 / 1.01)


def test_periods_in_which_little_is_dirtied_do_not_throttle():
    periods = SyncPeriods(AutoConverge(initial=20, increment=30), now=0)
    for second in range(1, 9):
        periods.sync(50, 100 * second, now=1.01 * second)
    assert periods.throttle == 0


@pytest.mark.parametrize(
    ("tick", "throttle", "lost"), [(None, 0, 0), (None, 40, 0.4), (0.004, 20, 0), (0.004, 90, 0.86)]
)
def test_a_guest_that_wakes_at_ticks_catches_up_with_one_of_them(tick, throttle, lost):
    guest = Guest(memory=GIB, dirty_rate=1e6, working_set=GIB, tick=tick)
    assert guest.lost_to(throttle) == pytest.approx(lost)


def test_a_random_writer_writes_some_pages_twice():
    guest = Guest(memory=GIB, dirty_rate=GIB, working_set=GIB, pattern=Pattern.RANDOM)
    pages, writer = DirtyPages(GIB, GIB), Writer(guest)
    pages.send(math.inf)
    writer.run(1, 0)
    assert writer.sync(pages) == pytest.approx(GIB * (1 - 1 / math.e))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"used": 0}, "the used memory must be more than nothing, and no more than the guest's"),
        ({"used": 2 * GIB}, "the used memory must be more than nothing, and no more than the guest's"),
        ({"working_set": 2 * GIB}, "the working set must fit in the memory that is used"),
        ({"used": MIB}, "the working set must fit in the memory that is used"),
        ({"working_set": 0}, "a guest that writes needs a working set to write to"),
    ],
)
def test_a_guest_that_can_t_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Guest(**{"memory": GIB, "dirty_rate": 1e6, "working_set": 64 * MIB, **changes})
