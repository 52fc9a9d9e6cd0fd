"""A sample is made of whatever a job's statistics tell: versions differ, and so do the phases of a migration."""

from dataclasses import fields
from datetime import timedelta

import libvirt
import pytest

from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.hypervisor.libvirt_jobs import measured, sampled
from vmferry_agent.hypervisor.port import CompletedJob, Sample

PRE_COPY = {
    "type": 2,
    "operation": 5,
    "time_elapsed": 4000,
    "setup_time": 1,
    "downtime": 1279,
    "data_total": 134_610_944,
    "data_processed": 75_643_144,
    "data_remaining": 58_195_968,
    "memory_total": 134_610_944,
    "memory_processed": 75_643_144,
    "memory_remaining": 58_195_968,
    "memory_bps": 21_012_660,
    "memory_constant": 225,
    "memory_normal": 18_432,
    "memory_normal_bytes": 75_497_472,
    "memory_dirty_rate": 12_750,
    "memory_iteration": 3,
    "memory_postcopy_requests": 7,
    "memory_page_size": 4096,
    "disk_total": 0,
    "disk_processed": 0,
    "disk_remaining": 0,
    "auto_converge_throttle": 40,
    "compression_cache": 67_108_864,
    "compression_bytes": 1000,
    "compression_pages": 10,
    "compression_cache_misses": 5,
    "compression_overflow": 0,
}
SEEN = Sample(
    elapsed=timedelta(seconds=4),
    memory_pass=3,
    remaining=58_195_968,
    transferred=75_643_144,
    total=134_610_944,
    bandwidth=21_012_660,
    dirty_rate=12_750 * 4096,
    expected_downtime=timedelta(milliseconds=1279),
    throttle=40,
    zero_pages=225,
    normal_pages=18_432,
    post_copy_requests=7,
)
ABSENT = {
    "time_elapsed": {"elapsed": timedelta(0)},
    "downtime": {"expected_downtime": None},
    "memory_total": {"total": 0},
    "memory_processed": {"transferred": 0},
    "memory_remaining": {"remaining": 0},
    "memory_bps": {"bandwidth": None},
    "memory_constant": {"zero_pages": 0},
    "memory_normal": {"normal_pages": 0},
    "memory_dirty_rate": {"dirty_rate": None},
    "memory_iteration": {"memory_pass": 0},
    "memory_postcopy_requests": {"post_copy_requests": 0},
    "auto_converge_throttle": {"throttle": None},
}
"""What a sample says without a field; all others change nothing."""


def test_a_job_s_statistics_make_a_sample():
    assert sampled(PRE_COPY) == SEEN


@pytest.mark.parametrize("missing", sorted(PRE_COPY))
def test_a_field_that_this_version_does_not_tell_leaves_the_rest_as_it_is(missing):
    seen = sampled({name: value for name, value in PRE_COPY.items() if name != missing})
    given = {each.name: getattr(SEEN, each.name) for each in fields(Sample)}
    assert seen == Sample(**{**given, **ABSENT.get(missing, {})})


@pytest.mark.parametrize("statistics", [{}, {"type": 2, "operation": 5, "time_elapsed": 0}])
def test_a_job_that_tells_nothing_yet_has_no_figures(statistics):
    seen = sampled(statistics)
    assert (seen.memory_pass, seen.total, seen.bandwidth, seen.expected_downtime) == (0, 0, None, None)


def test_pages_of_another_size_are_reckoned_with():
    assert sampled({**PRE_COPY, "memory_page_size": 65_536}).dirty_rate == 12_750 * 65_536


def test_in_the_disk_phase_disks_count_and_memory_is_to_come():
    seen = sampled(
        {
            "type": 2,
            "operation": 5,
            "time_elapsed": 900,
            "disk_total": 67_108_864,
            "disk_processed": 40_000_000,
            "disk_remaining": 27_108_864,
            "memory_total": 0,
            "memory_processed": 0,
            "memory_remaining": 0,
        }
    )
    assert (seen.memory_pass, seen.total, seen.transferred) == (0, 0, 0)
    assert (seen.disk_total, seen.disk_transferred, seen.disk_remaining) == (
        67_108_864,
        40_000_000,
        27_108_864,
    )


@pytest.mark.parametrize(
    ("statistics", "rate"),
    [
        ({"dirtyrate.calc_status": 2, "dirtyrate.megabytes_per_second": 68}, 68 * 2**20),
        ({"dirtyrate.calc_status": 2, "dirtyrate.megabytes_per_second": 0}, 0),
        ({"dirtyrate.calc_status": libvirt.VIR_DOMAIN_DIRTYRATE_MEASURING}, None),
        ({"dirtyrate.calc_status": libvirt.VIR_DOMAIN_DIRTYRATE_UNSTARTED}, None),
        ({"dirtyrate.calc_status": 2}, None),
        ({}, None),
    ],
)
def test_a_dirty_rate_counts_once_it_is_measured(statistics, rate):
    assert measured(statistics) == rate


@pytest.mark.parametrize(
    ("statistics", "job"),
    [
        ({}, CompletedJob(downtime=None, transferred=None)),
        (
            {"downtime": 46, "memory_processed": 7, "time_elapsed": 2000},
            CompletedJob(downtime=timedelta(milliseconds=46), transferred=7, elapsed=timedelta(seconds=2)),
        ),
    ],
)
async def test_a_completed_job_tells_what_it_can(statistics, job):
    hypervisor = LibvirtHypervisor("test:///default")
    hypervisor._remember("u", statistics)
    assert await hypervisor.completed("u") == job


async def test_of_migrations_that_nobody_asks_about_only_the_latest_are_kept():
    """Such as those that people start by virsh."""
    hypervisor = LibvirtHypervisor("test:///default")
    for number in range(1000):
        hypervisor._remember(f"u{number}", {"memory_processed": number})
    assert len(hypervisor._completed) <= 200
    for number in range(1000):  # one that comes and goes takes no other's place
        hypervisor._remember("u990", {"memory_processed": number})
    assert await hypervisor.completed("u950") == CompletedJob(downtime=None, transferred=950)
    assert await hypervisor.completed("u990") == CompletedJob(downtime=None, transferred=999)
