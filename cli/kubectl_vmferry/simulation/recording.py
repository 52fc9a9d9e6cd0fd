"""A recorded migration: libvirt's job statistics, one JSON object a line (tests/traces, docs/simulation.md)."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubectl_vmferry.simulation.jobs import JobEnd
from vmferry_agent.decisions.changes import Change
from vmferry_agent.hypervisor.port import Sample

_OUTGOING, _UNBOUNDED = 5, 2
"""libvirt's words for an outgoing migration that runs (`op`, `type`)."""
_PAGE = 4096


class RecordingError(ValueError):
    """It is no recording of a migration; the message names the line."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What was seen at one moment."""

    time: float
    """Seconds since the migration was asked for."""
    sample: Sample
    in_post_copy: bool


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recorded migration."""

    name: str
    setup: Mapping[str, Any]
    """The first line: the guest and the parameters that it was recorded with."""
    moments: Sequence[Moment]
    end: JobEnd

    @property
    def memory(self) -> int:
        """The guest's, in bytes, as QEMU counts it."""
        return max(moment.sample.total for moment in self.moments)

    @property
    def post_copy_at(self) -> float:
        """When it was switched to post-copy, in seconds; infinite where it was not."""
        return next((moment.time for moment in self.moments if moment.in_post_copy), math.inf)

    @property
    def max_downtime(self) -> timedelta | None:
        """The limit that it was recorded with, which QEMU shows as the expected downtime of the first pass."""
        limit = self.setup.get("downtime_limit_ms")
        return None if limit is None else timedelta(milliseconds=limit)


def read_recording(name: str, lines: Iterable[str]) -> Recording:
    """Read the lines of a recording.

    Raises:
        RecordingError: They are none.
    """
    rows = [_row(name, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows or "t" in rows[0]:
        raise RecordingError(f"{name}: the first line must tell the set-up, as tests/traces/*.jsonl do")
    total = _total(rows)
    moments = []
    switched = False
    for row in rows[1:]:
        switched = switched or row.get("v") == ["SUSPENDED", "POSTCOPY"]
        if (row.get("op"), row.get("type")) == (_OUTGOING, _UNBOUNDED):
            sample = _sample(row, total)
            moments.append(Moment(time=float(row["t"]), sample=sample, in_post_copy=switched))
    if not moments:
        raise RecordingError(f"{name}: no line shows a running migration (op 5, type 2)")
    return Recording(name=name, setup=rows[0], moments=moments, end=_end(rows, moments[-1].time))


class RecordedJob:
    """Plays a recording; nothing that is set changes it."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._place = 0
        self.end: JobEnd | None = None

    @property
    def in_post_copy(self) -> bool:
        """Whether it was, then."""
        return self._recording.moments[self._place].in_post_copy

    def run_until(self, moment: float) -> None:
        """Go on to the last line before that moment."""
        moments = self._recording.moments
        while self._place + 1 < len(moments) and moments[self._place + 1].time <= moment:
            self._place += 1
        if self._recording.end.time <= moment:
            self.end = self._recording.end

    def sample(self) -> Sample:
        """What was recorded."""
        return self._recording.moments[self._place].sample

    def set(self, change: Change) -> None:
        """Change nothing: what would have followed is not known."""

    def abort(self) -> None:
        """Change nothing."""


def _row(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RecordingError(f"{name}, line {number}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise RecordingError(f"{name}, line {number}: must be a JSON object")
    if row.get("type") == _UNBOUNDED and not {"t", "el", "proc", "rem", "it"} <= row.keys():
        raise RecordingError(f"{name}, line {number}: a sample needs t, el, proc, rem and it")
    return row


def _total(rows: Sequence[Mapping[str, Any]]) -> int:
    """The guest's memory: in the first pass, what remains and what was sent make it up."""
    sizes = [
        row["rem"] + (row["zero"] + row["norm"]) * _PAGE
        for row in rows
        if row.get("it") == 1 and {"zero", "norm"} <= row.keys()
    ]
    return max(sizes, default=0) or max((row.get("rem", 0) for row in rows), default=0)


def _sample(row: Mapping[str, Any], total: int) -> Sample:
    return Sample(
        elapsed=timedelta(milliseconds=row["el"]),
        memory_pass=row["it"],
        remaining=row["rem"],
        transferred=row["proc"],
        total=total,
        bandwidth=row.get("bps"),
        dirty_rate=row.get("dr", 0) * _PAGE,
        expected_downtime=timedelta(milliseconds=row["dt"]) if "dt" in row else None,
        throttle=row.get("thr"),
    )


def _end(rows: Sequence[Mapping[str, Any]], last: float) -> JobEnd:
    """How it ended; the guest was running on the target when QEMU's own clock stopped."""
    for row in rows:
        if row.get("ev") == "job_completed":
            job = row["v"]
            return JobEnd(time=job["time_elapsed"] / 1000, moved=True, downtime=job.get("downtime", 0) / 1000)
    result = next((row["result"] for row in rows if "result" in row), None)
    error = result[-1] if isinstance(result, list) else "the recording ends"
    return JobEnd(time=last, moved=False, error=str(error))
