"""A recorded migration: libvirt's job statistics, one JSON object a line (docs/simulation.md tells the format)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from kubectl_vmferry.simulation.jobs import JobEnd
from vmferry_agent.decisions.changes import Change, Parameter
from vmferry_agent.hypervisor.port import Sample

_OUTGOING, _UNBOUNDED = 5, 2
"""libvirt's numbers for an outgoing migration that runs (`op`, `type`)."""
_PAGE = 4096
_MEBI = 2**20

_Count = Annotated[int, Field(ge=0, le=2**62)]
_Milliseconds = Annotated[int, Field(ge=0, le=10**10)]
_Seconds = Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)]


_Line = TypeVar("_Line", bound=BaseModel)


class RecordingError(ValueError):
    """It is no recording of a migration; the message names the line and what is wrong with it."""


class _Guest(BaseModel):
    memory: Annotated[int, Field(gt=0, le=2**30)] | None = Field(default=None, alias="memory_MiB")


class _SetUp(BaseModel):
    """The first line."""

    guest: _Guest = _Guest()
    max_downtime: _Milliseconds | None = Field(default=None, alias="downtime_limit_ms")


class _Row(BaseModel):
    """Any other line, as far as it tells which kind it is."""

    t: _Seconds
    op: int | None = None
    type: int | None = None
    ev: str | None = None
    v: Any = None
    result: Any = None

    @property
    def shows_job(self) -> bool:
        """Whether it is a sample of a migration that runs."""
        return (self.op, self.type) == (_OUTGOING, _UNBOUNDED)


_Read = tuple[int, dict[str, Any], _Row]
"""A line: its number, its object, and what kind it is."""


class _Sampled(BaseModel):
    """A sample."""

    el: _Milliseconds
    proc: _Count
    rem: _Count
    it: _Count
    bps: _Count | None = None
    dr: _Count = 0
    dt: _Milliseconds | None = None
    thr: _Count | None = None
    zero: _Count | None = None
    norm: _Count | None = None

    @property
    def in_first_pass(self) -> int:
        """The guest's memory, as far as the first pass shows it: what remains, and what was sent."""
        if self.it != 1 or self.zero is None or self.norm is None:
            return 0
        return self.rem + (self.zero + self.norm) * _PAGE

    def sample(self, total: int) -> Sample:
        """As the agent saw it."""
        return Sample(
            elapsed=timedelta(milliseconds=self.el),
            memory_pass=self.it,
            remaining=self.rem,
            transferred=self.proc,
            total=total,
            bandwidth=self.bps,
            dirty_rate=self.dr * _PAGE,
            expected_downtime=None if self.dt is None else timedelta(milliseconds=self.dt),
            throttle=self.thr,
            zero_pages=self.zero or 0,
            normal_pages=self.norm or 0,
        )


class _Completed(BaseModel):
    """What libvirt tells of a migration that has completed."""

    time_elapsed: _Milliseconds
    downtime: _Milliseconds | None = None


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
    moments: Sequence[Moment]
    end: JobEnd
    memory: int
    """The guest's, in bytes."""
    max_downtime: timedelta | None
    """The downtime limit at its end."""


def read_recording(name: str, lines: Iterable[str]) -> Recording:
    """Read the lines of a recording; one that breaks off, as a crash leaves it, ends there.

    Raises:
        RecordingError: They are none.
    """
    objects = _objects(name, lines)
    if not objects or "t" in objects[0][1]:
        raise RecordingError(f"{name}: the first line must tell the set-up (docs/simulation.md)")
    set_up = _read(_SetUp, name, *objects[0])
    rows = [(number, given, _read(_Row, name, number, given)) for number, given in objects[1:]]
    sampled = [(row.t, _read(_Sampled, name, number, given)) for number, given, row in rows if row.shows_job]
    if not sampled:
        raise RecordingError(f"{name}: no line shows a running migration (op 5, type 2)")
    total = max(each.in_first_pass for _, each in sampled) or max(each.rem for _, each in sampled)
    switched_at = min((row.t for _, _, row in rows if row.v == ["SUSPENDED", "POSTCOPY"]), default=None)
    moments = [
        Moment(time=t, sample=each.sample(total), in_post_copy=switched_at is not None and t >= switched_at)
        for t, each in sorted(sampled, key=lambda pair: pair[0])  # the clock of a new agent may be behind
    ]
    memory = total if set_up.guest.memory is None else set_up.guest.memory * _MEBI
    if memory == 0:
        raise RecordingError(f"{name}: the guest's memory can't be told: it has no sample of the first pass")
    return Recording(
        name=name,
        moments=moments,
        end=_end(name, rows, moments[-1].time),
        memory=memory,
        max_downtime=_last_limit(name, set_up, rows),
    )


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


def _objects(name: str, lines: Iterable[str]) -> list[tuple[int, dict[str, Any]]]:
    """The lines' objects with their numbers."""
    given = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    objects: list[tuple[int, dict[str, Any]]] = []
    for number, line in given:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == given[-1][0] and len(objects) > 1:
                break  # half a line is what a copy or a full disk leaves
            raise RecordingError(f"{name}, line {number}: not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RecordingError(f"{name}, line {number}: must be a JSON object")
        objects.append((number, found))
    return objects


def _read(kind: type[_Line], name: str, number: int, given: object) -> _Line:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise RecordingError(f"{name}, line {number}: {place}: {first['msg']}") from error


def _last_limit(name: str, set_up: _SetUp, rows: Sequence[_Read]) -> timedelta | None:
    limit = set_up.max_downtime
    for number, _, row in rows:
        if row.ev == Parameter.MAX_DOWNTIME:
            limit = _read(_SetUp, name, number, {"downtime_limit_ms": row.v}).max_downtime
    return None if limit is None else timedelta(milliseconds=limit)


def _end(name: str, rows: Sequence[_Read], last: float) -> JobEnd:
    """How it ended; the guest was running on the target when QEMU's own clock stopped."""
    for number, _, row in rows:
        if row.ev == "job_completed":
            job = _read(_Completed, name, number, row.v)
            downtime = None if job.downtime is None else job.downtime / 1000
            return JobEnd(time=job.time_elapsed / 1000, moved=True, downtime=downtime)
    result = next((row.result for _, _, row in rows if row.result is not None), None)
    if result == "ok":
        return JobEnd(time=last, moved=True)
    error = result[-1] if isinstance(result, list) and result else "the recording breaks off"
    return JobEnd(time=last, moved=False, error=str(error))
