"""What libvirt tells of a migration that runs. What an older libvirt or QEMU does not tell is left out."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import libvirt

from vmferry_agent.hypervisor.port import Domain, Sample

_MEBI = 2**20
_NONE = {
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
}
"""What it says of a domain that has no such job: it has just stopped, or moved away, or is coming here."""


def outgoing(domain: libvirt.virDomain) -> Mapping[str, Any] | None:
    """The statistics of its outgoing migration; None: there is no such job."""
    try:
        statistics: Mapping[str, Any] = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NONE:
            return None
        raise
    leaves = statistics.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return statistics if leaves else None


def sampled_of(job: Mapping[str, Any], known: Domain) -> Sample:
    """A sample of a domain's job."""
    found = sampled(job)
    if found.total == 0 and found.disk_total > 0:  # disks come first; QEMU has not counted the memory yet
        return replace(found, total=known.memory)
    return found


def measured(statistics: Mapping[str, Any]) -> int | None:
    """The dirty rate in a domain's statistics, in bytes per second; None: it is not measured (yet)."""
    if statistics.get("dirtyrate.calc_status") != libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED:
        return None
    mebibytes: int | None = statistics.get("dirtyrate.megabytes_per_second")
    return None if mebibytes is None else mebibytes * _MEBI


def sampled(statistics: Mapping[str, Any]) -> Sample:
    """A sample, from the statistics of a job; what an older libvirt or QEMU does not tell is left out."""
    page = statistics.get("memory_page_size", 4096)
    dirty_pages = statistics.get("memory_dirty_rate")
    return Sample(
        elapsed=timedelta(milliseconds=statistics.get("time_elapsed", 0)),
        memory_pass=statistics.get("memory_iteration", 0),
        remaining=statistics.get("memory_remaining", 0),
        transferred=statistics.get("memory_processed", 0),
        total=statistics.get("memory_total", 0),
        bandwidth=statistics.get("memory_bps"),
        dirty_rate=None if dirty_pages is None else dirty_pages * page,
        expected_downtime=milliseconds(statistics.get("downtime")),
        throttle=statistics.get("auto_converge_throttle"),
        zero_pages=statistics.get("memory_constant", 0),
        normal_pages=statistics.get("memory_normal", 0),
        post_copy_requests=statistics.get("memory_postcopy_requests", 0),
        disk_total=statistics.get("disk_total", 0),
        disk_transferred=statistics.get("disk_processed", 0),
        disk_remaining=statistics.get("disk_remaining", 0),
    )


def milliseconds(number: int | None) -> timedelta | None:
    """A duration as libvirt tells it."""
    return None if number is None else timedelta(milliseconds=number)
