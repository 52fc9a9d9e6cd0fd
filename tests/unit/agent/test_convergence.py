from dataclasses import replace
from datetime import timedelta

import pytest
from recorded_traces import samples

from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.hypervisor.port import Sample

MIB = 2**20
GIB = 2**30
LIMIT = timedelta(seconds=3)


def sample(
    memory_pass: int = 2, needed: float | None = 1000, sent: int = 0, bandwidth: int = 50 * MIB
) -> Sample:
    """A sample whose needed downtime is in milliseconds."""
    return Sample(
        elapsed=timedelta(0),
        memory_pass=memory_pass,
        remaining=0,
        transferred=sent,
        total=128 * MIB,
        bandwidth=bandwidth,
        dirty_rate=0,
        expected_downtime=None if needed is None else timedelta(milliseconds=needed),
        throttle=None,
    )


def seen(*several: tuple[float, Sample], in_post_copy: bool = False) -> Convergence:
    convergence = Convergence(progress_at=0)
    for now, each in several:
        convergence = convergence.after(each, now=now, in_post_copy=in_post_copy)
    return convergence


def stalls(trace: str, limit: timedelta = LIMIT) -> list[float]:
    """The moments of a trace at which the migration counts as stalling."""
    convergence = Convergence(progress_at=0)
    moments = []
    for now, each in samples(trace):
        convergence = convergence.after(each, now=now, in_post_copy=False)
        if convergence.stalling(limit, now=now):
            moments.append(now)
    return moments


def test_a_guest_that_outruns_the_link_stalls_soon_and_goes_on_stalling():
    moments = stalls("nonconverging")
    assert 4 < moments[0] < 9
    whole = [now for now, _ in samples("nonconverging") if now >= moments[0]]
    assert len(moments) > 0.9 * len(whole)


@pytest.mark.parametrize("trace", ["idle", "borderline"])
def test_a_guest_that_converges_never_stalls_however_slowly(trace):
    assert stalls(trace) == []


def test_without_a_limit_nothing_ever_stalls():
    assert stalls("nonconverging", timedelta(0)) == []


def test_the_first_pass_is_progress_however_long_it_takes():
    convergence = seen(*((60.0 * n, sample(1, 300, sent=n * MIB)) for n in range(1, 60)))
    assert convergence.progress_at == 59 * 60
    assert not convergence.stalling(LIMIT, now=60 * 60)


def test_the_next_passes_are_progress_too_while_they_may_still_show_one_and_something_is_sent():
    """2 TiB over 1 GiB/s: the second pass takes a quarter of an hour, and only its end tells what it was worth."""
    second = [(100.0 + 60 * n, sample(2, 900_000, sent=n * MIB)) for n in range(1, 15)]
    assert seen(*second).progress_at == 940
    assert seen(*second, (1000, sample(2, 900_000, sent=14 * MIB))).progress_at == 940
    later = [(1000.0 + 60 * n, sample(5, 900_000, sent=(20 + n) * MIB)) for n in range(1, 15)]
    assert seen(*second, *later).progress_at == 940


def test_before_the_first_pass_nothing_is_progress():
    assert seen((5, sample(0, None, sent=0)), (9, sample(0, None, sent=100))).progress_at == 0


def test_long_passes_are_waited_for():
    flat = [(100.0 * n, sample(2 + n)) for n in range(3)]
    assert not seen(*flat).stalling(LIMIT, now=250)
    assert seen(*flat, (300, sample(5))).stalling(LIMIT, now=300)


def test_a_fall_within_the_margin_is_no_progress():
    convergence = seen((0, sample(2, 1000)), (1, sample(3, 1000)), (2, sample(4, 980)), (5, sample(9, 975)))
    assert convergence.stalling(LIMIT, now=5)


def test_a_single_low_sample_is_no_progress():
    convergence = seen((0, sample(2, 1000)), (2, sample(4, 900)), (3, sample(5, 1000)), (6, sample(9, 1000)))
    assert convergence.best == timedelta(seconds=1)
    assert convergence.stalling(LIMIT, now=6)


def test_a_lasting_fall_is():
    convergence = seen((0, sample(2, 1000)), (2, sample(4, 900)), (3, sample(5, 900)))
    assert (convergence.best, convergence.progress_at) == (timedelta(milliseconds=900), 3)
    assert not convergence.stalling(LIMIT, now=5)


def test_with_another_bandwidth_the_best_is_looked_for_anew():
    convergence = (
        seen((0, sample(2, 500)), (9, sample(9, 500))).with_bandwidth(50, 100).after(sample(10, 1000), now=10)
    )
    assert convergence.best == timedelta(seconds=1)
    assert not convergence.stalling(LIMIT, now=12)


def test_in_post_copy_what_is_sent_is_progress():
    convergence = seen((1, sample(5, None, sent=MIB)), (2, sample(5, None, sent=2 * MIB)), in_post_copy=True)
    assert convergence.progress_at == 2


@pytest.mark.parametrize(
    ("granted", "slow"),
    [(None, False), (50 * MIB, False), (62 * MIB, False), (63 * MIB, True), (100 * MIB, True)],
)
def test_a_link_is_slow_that_carries_less_than_four_fifths_of_what_is_granted(granted, slow):
    assert seen((0, sample(bandwidth=50 * MIB))).link_is_slow(granted) == slow


def test_many_small_changes_of_the_bandwidth_add_up():
    convergence = seen((0, sample(2, 500)), (9, sample(9, 500)))
    for before, now in ((100, 95), (95, 91), (91, 89)):
        assert convergence.best is not None
        convergence = convergence.with_bandwidth(before, now)
    assert convergence.best is None


@pytest.mark.parametrize(("before", "now"), [(None, 100), (100, None)])
def test_a_cap_that_comes_or_goes_is_another_bandwidth(before, now):
    assert seen((0, sample(2, 500))).with_bandwidth(before, now).best is None


def test_a_share_that_changes_by_little_does_not_keep_stalling_from_being_seen():
    convergence = seen((0, sample(2, 500)), (9, sample(9, 500))).with_bandwidth(100, 108)
    assert convergence.best == timedelta(milliseconds=500)
    assert convergence.stalling(LIMIT, now=12)


def test_disks_that_are_being_copied_are_progress_until_the_copy_stands_still():
    """They come before the memory, and may take longer than any limit for want of progress."""

    def copying(copied: int) -> Sample:
        return replace(sample(memory_pass=0, needed=None), disk_total=GIB, disk_transferred=copied)

    assert seen((1, copying(0)), (100, copying(10)), (200, copying(20))).progress_at == 200
    assert seen((1, copying(0)), (100, copying(10)), (200, copying(10))).progress_at == 100


def test_what_a_guest_writes_to_copied_disks_while_its_memory_is_sent_is_no_progress():
    late = [
        (t, replace(sample(memory_pass=t, sent=0), disk_total=GIB, disk_transferred=t)) for t in range(2, 60)
    ]
    assert seen(*late).progress_at == 2


def test_bytes_count_as_progress_where_no_needed_downtime_is_told():
    convergence = Convergence(progress_at=0)
    for second in range(300):
        convergence = convergence.after(sample(1 + second // 5, None, sent=second * MIB), now=second)
    assert convergence.progress_at == 299
