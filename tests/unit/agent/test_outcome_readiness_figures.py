from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_traces import samples
from scripted_hypervisor import sample

from vmferry_agent.decisions.figures import WITHIN_PASS, progress, worth_telling
from vmferry_agent.decisions.outcome import GivenUp, ended, stronger
from vmferry_agent.decisions.readiness import not_ready
from vmferry_agent.hypervisor.port import Domain, HostFacts, Sample
from vmferry_api.migrations import AttemptOutcome, VMReport, VMState

GIB = 2**30


def domain(
    state: VMState = VMState.RUNNING, reason: str = "Booted", name: str = "db-1", uuid: str = "u"
) -> Domain:
    return Domain(name=name, uuid=uuid, state=state, reason=reason, memory=GIB, vcpus=1, persistent=True)


CANCELLED = GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled")


@pytest.mark.parametrize(
    ("seen", "given_up", "error", "outcome"),
    [
        (None, None, None, AttemptOutcome.COMPLETED),
        (None, None, "connection lost", AttemptOutcome.COMPLETED),
        (None, CANCELLED, None, AttemptOutcome.COMPLETED),
        (domain(VMState.SHUT_OFF, "Migrated"), None, "connection lost", AttemptOutcome.COMPLETED),
        (domain(), None, "refused", AttemptOutcome.FAILED),
        (domain(), CANCELLED, "aborted", AttemptOutcome.CANCELLED),
        (domain(VMState.SHUT_OFF, "Failed"), None, None, AttemptOutcome.FAILED),
        (domain(VMState.PAUSED, "PostCopyFailed"), None, "lost", None),
        (domain(VMState.PAUSED, "PostCopy"), CANCELLED, None, None),
    ],
)
def test_how_it_ended_is_read_from_the_domain_not_from_the_call(seen, given_up, error, outcome):
    end = ended(seen, given_up, error)
    assert (end.outcome if end else None) == outcome


RESTARTED = GivenUp(outcome=AttemptOutcome.RESTARTED, reason="restarted: step 3")


@pytest.mark.parametrize(
    ("seen", "failed", "outcome"),
    [
        (domain(), False, AttemptOutcome.RESTARTED),
        (domain(VMState.PAUSED, "User"), False, AttemptOutcome.RESTARTED),
        (domain(), True, AttemptOutcome.FAILED),
        (domain(VMState.SHUT_OFF, "Crashed"), False, AttemptOutcome.FAILED),
        (None, False, AttemptOutcome.COMPLETED),
    ],
)
def test_a_restart_is_one_only_if_the_vm_lives_here_and_nothing_else_had_ended_it(seen, failed, outcome):
    assert ended(seen, RESTARTED, "said", failed=failed).outcome == outcome


@pytest.mark.parametrize("given_up", [None, CANCELLED, RESTARTED])
def test_a_vm_that_is_gone_without_a_word_from_libvirt_that_it_moved_has_not_completed(given_up):
    end = ended(None, given_up, "domain is not running (libvirt error 9)", failed=True, moved=False)
    assert end.outcome == AttemptOutcome.FAILED
    assert "domain is not running" in end.error


@pytest.mark.parametrize(
    ("before", "now", "counts"),
    [
        (None, CANCELLED, CANCELLED),
        (RESTARTED, CANCELLED, CANCELLED),
        (CANCELLED, GivenUp(outcome=AttemptOutcome.ABORTED, reason="x"), CANCELLED),
    ],
)
def test_the_first_reason_counts_but_a_restart_gives_way_to_an_end(before, now, counts):
    assert stronger(before, now) == counts


def test_a_failure_tells_what_libvirt_said():
    assert ended(domain(), None, "no route (libvirt error 38)").error == "no route (libvirt error 38)"


VM = VMReport(name="db-1", uuid="u", memory=GIB, state=VMState.RUNNING)
FACTS = HostFacts(libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=2 * GIB)


@pytest.mark.parametrize(
    ("named", "same", "free", "says"),
    [
        (None, None, 2 * GIB, None),
        (domain(VMState.SHUT_OFF, "Migrated"), domain(VMState.SHUT_OFF, "Migrated"), 2 * GIB, None),
        (domain(uuid="other"), None, 2 * GIB, "another one (UUID other)"),
        (domain(), domain(), 2 * GIB, "already has this VM, Running (Booted)"),
        (None, domain(VMState.PAUSED, "Migration"), 2 * GIB, "is receiving this VM in another migration"),
        (None, domain(VMState.SHUT_OFF, "Shutdown", name="old"), 2 * GIB, "under the name old"),
        (None, None, GIB // 2, "has 512Mi of memory free, db-1 needs 1Gi"),
    ],
)
def test_a_vm_can_come_unless_something_is_in_the_way(named, same, free, says):
    facts = HostFacts(libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=free)
    found = not_ready(VM, "node-b", named=named, same=same, facts=facts)
    assert (found is None) if says is None else (says in found)


SAMPLES = st.builds(
    Sample,
    elapsed=st.just(timedelta(0)),
    memory_pass=st.integers(0, 50),
    remaining=st.integers(0, GIB),
    transferred=st.integers(0, 10 * GIB),
    total=st.just(GIB),
    bandwidth=st.one_of(st.none(), st.integers(0, GIB)),
    dirty_rate=st.one_of(st.none(), st.integers(0, GIB)),
    expected_downtime=st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(hours=1))),
    throttle=st.none(),
    disk_total=st.sampled_from([0, GIB]),
    disk_transferred=st.integers(0, GIB),
    disk_remaining=st.integers(0, GIB),
)


@given(st.lists(SAMPLES))
def test_the_percentage_never_falls_and_figures_of_the_first_pass_are_no_needed_downtime(several):
    before = None
    for each in several:
        now = progress(each, elapsed=timedelta(0), max_downtime=None, before=before, in_post_copy=False)
        assert 0 <= (before.percent if before else 0) <= now.percent <= 100
        if each.memory_pass <= 1:
            assert now.needed_downtime is None
        before = now


@pytest.mark.parametrize(
    ("memory_pass", "remaining", "disk_remaining", "percent"),
    [
        (0, 0, 3 * GIB, 0),
        (0, 0, GIB, 50),
        (0, 0, 0, 75),
        (1, GIB, 0, 75),
        (1, GIB // 2, 0, 88),
        (1, 0, 0, 100),
    ],
)
def test_the_percentage_counts_disks_and_memory_and_all_of_the_memory_comes_after_the_disks(
    memory_pass, remaining, disk_remaining, percent
):
    disks = {
        "disk_total": 3 * GIB,
        "disk_remaining": disk_remaining,
        "disk_transferred": 3 * GIB - disk_remaining,
    }
    seen = replace(sample(memory_pass=memory_pass), total=GIB, remaining=remaining, **disks)
    shown = progress(seen, elapsed=timedelta(0), max_downtime=None, before=None, in_post_copy=False)
    assert shown.percent == percent
    assert (shown.disk.total, shown.disk.remaining) == (3 * GIB, disk_remaining)


def test_without_copied_disks_none_are_shown():
    shown = progress(sample(), elapsed=timedelta(0), max_downtime=None, before=None, in_post_copy=False)
    assert shown.disk is None


def told(*seen: tuple[int, int]) -> list[tuple[int, float, float]]:
    """The passes that are told after samples a second apart, of a pass and a needed downtime in milliseconds."""
    last = None
    for second, (memory_pass, needed) in enumerate(seen):
        last = progress(
            sample(memory_pass=memory_pass, needed=needed),
            elapsed=timedelta(seconds=second),
            max_downtime=None,
            before=last,
            in_post_copy=False,
        )
    return [
        (each.memory_pass, each.elapsed.total_seconds(), each.needed_downtime / timedelta(milliseconds=1))
        for each in last.recent
    ]


def test_each_pass_from_the_second_on_is_told_with_its_needed_downtime():
    assert told((1, 300), (2, 1280), (2, 1280), (3, 1100)) == [(2, 1, 1280), (3, 3, 1100)]


def test_of_several_samples_in_a_pass_the_last_counts():
    assert told((2, 700), (2, 1280), (2, 900)) == [(2, 0, 900)]


def test_more_than_is_expected_is_needed_while_more_than_that_is_left():
    """QEMU reckons anew 100 ms after a pass has begun; the limit of the first pass is no needed downtime."""
    stale = replace(sample(needed=300), remaining=50_000_000, bandwidth=50_000_000)
    seen = progress(stale, elapsed=timedelta(0), max_downtime=None, before=None, in_post_copy=False)
    assert seen.needed_downtime == timedelta(seconds=1)
    assert seen.recent[-1].needed_downtime == timedelta(seconds=1)


def test_what_is_pending_does_not_change_with_the_bandwidth():
    last = None
    for second, (needed, rate) in enumerate([(1447, 46_300_000), (1280, 52_340_000), (1340, 50_000_000)]):
        last = progress(
            replace(sample(memory_pass=2 + second, needed=needed), bandwidth=rate),
            elapsed=timedelta(seconds=second),
            max_downtime=None,
            before=last,
            in_post_copy=False,
        )
    assert {round(each.pending / 1e6) for each in last.recent} == {67}


def test_a_sample_that_still_shows_the_pass_before_does_not_count():
    assert told((2, 1754), (3, 1754), (3, 1372), (3, 1372)) == [(2, 0, 1754), (3, 1, 1372)]


def test_the_passes_of_a_recorded_migration_fall_as_they_did():
    last = None
    for t, seen in samples("borderline"):
        last = progress(
            seen, elapsed=timedelta(seconds=t), max_downtime=None, before=last, in_post_copy=False
        )
    assert [round(each.needed_downtime / timedelta(milliseconds=1)) for each in last.recent] == [
        1754, 757, 720, 658, 619, 587, 539, 491, 462, 402, 350, 305,
    ]  # fmt: skip


def test_only_the_first_pass_and_the_last_ones_are_told():
    """The first one tells how long a pass over all of the memory takes, which is what patience is measured by."""
    passes = told(*((number, 1000) for number in range(2, 40)))
    assert [number for number, _, _ in passes] == [2, *range(29, 40)]


@pytest.mark.parametrize(
    ("later", "changed", "tells"),
    [
        (1, {}, False),
        (WITHIN_PASS.total_seconds(), {}, True),
        (0, {"memory_pass": 3}, True),
        (0, {"throttle": 20}, True),
        (0, {"max_downtime": timedelta(seconds=1)}, True),
        (0, {"remaining": 1, "transferred": 2}, False),
    ],
)
def test_what_changes_within_a_pass_is_told_seldom_and_a_pass_or_what_was_set_at_once(later, changed, tells):
    seen, granted = sample(memory_pass=2, needed=900), timedelta(seconds=0.5)
    before = progress(
        seen, elapsed=timedelta(seconds=10), max_downtime=granted, before=None, in_post_copy=False
    )
    now = dict(changed)
    granted = now.pop("max_downtime", granted)
    elapsed = timedelta(seconds=10 + later)
    assert worth_telling(replace(seen, **now), elapsed=elapsed, max_downtime=granted, before=before) is tells


def test_the_first_sample_is_told():
    assert worth_telling(sample(needed=900), elapsed=timedelta(0), max_downtime=None, before=None)
