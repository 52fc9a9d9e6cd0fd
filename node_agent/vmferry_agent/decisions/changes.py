"""What must be set on the host so that what is desired is in force."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from vmferry_agent.decisions.recovery import SILENT
from vmferry_agent.hypervisor.port import Domain
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, MigrationTechnique, VMState


class Parameter(StrEnum):
    """What can be set in flight, named as the fields of `desired`."""

    MAX_DOWNTIME = "maxDowntime"
    BANDWIDTH = "bandwidth"
    POST_COPY_BANDWIDTH = "postCopyBandwidth"
    COMPRESSION_CACHE = "compressionCache"
    SUSPEND = "suspend"
    TECHNIQUE = "technique"


Value = timedelta | int | bool | MigrationTechnique | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One parameter to set."""

    parameter: Parameter
    value: Value

    def __str__(self) -> str:
        """For the log."""
        value = format_duration(self.value) if isinstance(self.value, timedelta) else self.value
        return f"{self.parameter} is now {value}"


def wanted(desired: Desired, max_downtime: timedelta | None) -> dict[Parameter, Value]:
    """The parameters' values; `max_downtime` is the policy's or the ramp's."""
    values: dict[Parameter, Value] = {
        Parameter.MAX_DOWNTIME: max_downtime,
        Parameter.BANDWIDTH: bandwidth(desired),
        Parameter.SUSPEND: desired.suspend,
        Parameter.TECHNIQUE: desired.technique,
    }
    if desired.compression_cache is not None:
        values[Parameter.COMPRESSION_CACHE] = desired.compression_cache
    if desired.post_copy_allowed:
        values[Parameter.POST_COPY_BANDWIDTH] = desired.post_copy_bandwidth
    return values


def changes(
    desired: Desired,
    in_force: dict[Parameter, Value],
    *,
    max_downtime: timedelta | None,
    in_post_copy: bool,
) -> list[Change]:
    """What to set, in the order in which to do it: caps first, so that a switch finds them in force.

    In post-copy only its own cap still means anything. A parameter that is not known to be in force is set. A
    guest that was suspended stays so until the end: libvirt would block on resuming it. A switch to post-copy that
    was taken back before it was carried out is nothing to do.
    """
    values = wanted(desired, max_downtime)
    if not desired.suspend:
        del values[Parameter.SUSPEND]
    if desired.technique == MigrationTechnique.PRE_COPY:
        del values[Parameter.TECHNIQUE]
    if in_post_copy:
        values = {name: value for name, value in values.items() if name == Parameter.POST_COPY_BANDWIDTH}
    return [
        Change(parameter=parameter, value=values[parameter])
        for parameter in Parameter
        if parameter in values and (parameter not in in_force or in_force[parameter] != values[parameter])
    ]


def held_back(silent_for: timedelta) -> Collection[Parameter]:
    """What must not be set now: post-copy over a link that carries nothing would freeze the guest at once."""
    return (Parameter.TECHNIQUE,) if silent_for >= SILENT else ()


def at_start(desired: Desired) -> dict[Parameter, Value]:
    """What holds as soon as libvirt has started the migration as asked."""
    return {
        Parameter.BANDWIDTH: bandwidth(desired),
        Parameter.POST_COPY_BANDWIDTH: desired.post_copy_bandwidth,
        Parameter.COMPRESSION_CACHE: _cache_at_start(desired),
        Parameter.TECHNIQUE: MigrationTechnique.PRE_COPY,
    }


def _cache_at_start(desired: Desired) -> int | None:
    compression = desired.start.compression if desired.start else None
    return None if compression is None else compression.cache_size


def bandwidth(desired: Desired) -> int | None:
    """The cap in pre-copy, in bytes per second: its own, or the share of its nodes', whichever is lower."""
    return min((cap for cap in (desired.bandwidth, desired.share) if cap is not None), default=None)


def when_adopted(domain: Domain, applied: Desired | None, refused: Collection[str]) -> dict[Parameter, Value]:
    """What is known to hold in a migration that an earlier process started; the rest is set again.

    Args:
        domain: The VM.
        applied: What that process has carried out, if it is what is wanted still.
        refused: The parameters that the host has refused of it.
    """
    known: dict[Parameter, Value] = {
        Parameter.SUSPEND: domain.state == VMState.PAUSED and domain.reason == "User",
        Parameter.TECHNIQUE: MigrationTechnique.POST_COPY
        if domain.in_post_copy
        else MigrationTechnique.PRE_COPY,
    }
    if applied is not None and Parameter.BANDWIDTH not in refused:
        known[Parameter.BANDWIDTH] = bandwidth(applied)
    if applied is not None and applied.compression_cache and Parameter.COMPRESSION_CACHE not in refused:
        known[Parameter.COMPRESSION_CACHE] = applied.compression_cache
    return known
