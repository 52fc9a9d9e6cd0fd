"""Recordings of attempts, one JSON object a line in the format of tests/traces, for replay and simulation."""

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from vmferry_agent.decisions.changes import Value
from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.hypervisor.port import CompletedJob, Domain, Sample, StartRequest
from vmferry_api.migrations import AttemptOutcome

_logger = logging.getLogger(__name__)

_OUTGOING, _UNBOUNDED = 5, 2
"""libvirt's numbers for an outgoing migration that runs (`op`, `type`)."""
_PAGE = 4096
_MEBI = 2**20
_UNITS = (
    "rem/proc bytes, dr pages of 4096 bytes/s, bps B/s, dt ms (expected), el ms, thr percent, ms of jobStats"
)
_BACKLOG = 10_000
"""Lines that may wait for a slow disk, half an hour of three migrations; more are dropped."""
_CLOSING = 2.0
"""Seconds that the end of the agent waits for the disk."""
_LONGEST_NAME = 150
"""Characters of an object's name in that of a file, which may have 255."""

Row = Mapping[str, object]
Write = Callable[[Row], None]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Which attempt is recorded."""

    namespace: str
    name: str
    uid: str
    number: int

    @property
    def file_name(self) -> str:
        """Of its own, whatever namesakes come after it."""
        return f"{self.namespace}_{self.name}"[:_LONGEST_NAME] + f"_{self.uid}_{self.number}.jsonl"


@dataclass(frozen=True, kw_only=True)
class _Line:
    path: Path
    text: str
    first: bool
    """It is the set-up, which a recording that is gone on with has already."""


class Trace:
    """The recording of one attempt. Times (`t`) are seconds since it began."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._in_post_copy = False

    def sample(self, t: float, sample: Sample, *, took: float, in_post_copy: bool) -> None:
        """Record what was seen; `took` is how many seconds libvirt has needed to tell."""
        if in_post_copy and not self._in_post_copy:
            self.event(t, "lifecycle", ["SUSPENDED", "POSTCOPY"])
        self._in_post_copy = in_post_copy
        row = {
            "t": round(t, 2),
            "op": _OUTGOING,
            "el": _milliseconds(sample.elapsed),
            "dt": _milliseconds(sample.expected_downtime),
            "proc": sample.transferred,
            "rem": sample.remaining,
            "bps": sample.bandwidth,
            "zero": sample.zero_pages,
            "norm": sample.normal_pages,
            "dr": (sample.dirty_rate or 0) // _PAGE,
            "it": sample.memory_pass,
            "pcr": sample.post_copy_requests,
            "thr": sample.throttle,
            "type": _UNBOUNDED,
            "ms": round(took * 1000, 1),
        }
        self._write({key: value for key, value in row.items() if value is not None})

    def set(self, t: float, parameter: str, value: Value) -> None:
        """Record that a parameter was set; durations in milliseconds, rates in bytes per second."""
        self.event(t, parameter, _milliseconds(value) if isinstance(value, timedelta) else value)

    def event(self, t: float, name: str, value: object) -> None:
        """Record that something happened."""
        self._write({"t": round(t, 2), "ev": name, "v": value})

    def end(self, t: float, end: Ended, job: CompletedJob | None) -> None:
        """Record how it ended."""
        if end.outcome == AttemptOutcome.COMPLETED:
            if job is not None:
                self.event(t, "job_completed", _job(job, t))
            self._write({"t": round(t, 2), "result": "ok"})
        else:
            self._write({"t": round(t, 2), "result": [end.outcome, end.error]})


class Traces:
    """Records every attempt in a directory. Nothing that happens to the recordings reaches a migration.

    Lines are written by a thread, since a disk can hang, too. A recording that can't be written on ends there, at
    a whole line; that is logged once.

    Args:
        directory: Where; None: nothing is recorded.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lines: queue.Queue[_Line | None] = queue.Queue(_BACKLOG)
        self._broken: set[Path] = set()
        self._told = False
        self._writer: threading.Thread | None = None
        if directory is not None:
            self._writer = threading.Thread(target=self._run, name="traces", daemon=True)
            self._writer.start()

    def begin(
        self, attempt: Recorded, domain: Domain, request: StartRequest, limit: timedelta | None
    ) -> Trace:
        """Record an attempt that is about to be started, with this downtime limit."""
        return self._trace(attempt, _set_up(attempt, domain, request, limit))

    def resume(self, attempt: Recorded, domain: Domain) -> Trace:
        """Go on with the recording of an attempt that an earlier process has begun."""
        return self._trace(attempt, _head(attempt, domain))

    def close(self) -> None:
        """Write what has been recorded, and end."""
        if self._writer is None:
            return
        try:
            self._lines.put(None, timeout=_CLOSING)
        except queue.Full:
            return
        self._writer.join(_CLOSING)

    def _trace(self, attempt: Recorded, head: Row) -> Trace:
        if self._directory is None:
            return Trace(lambda _: None)
        path = self._directory / attempt.file_name
        self._put(path, head, first=True)
        return Trace(lambda row: self._put(path, row))

    def _put(self, path: Path, row: Row, *, first: bool = False) -> None:
        text = json.dumps(row, separators=(",", ":")) + "\n"
        try:
            self._lines.put_nowait(_Line(path=path, text=text, first=first))
        except queue.Full:
            self._break(path, "the disk is too slow")

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if line.path in self._broken:
                continue
            try:
                _append(line)
            except OSError as error:
                self._break(line.path, str(error))

    def _break(self, path: Path, why: str) -> None:
        self._broken.add(path)
        if not self._told:
            self._told = True
            _logger.warning("%s is not recorded further, and others may not be: %s", path.name, why)


def _append(line: _Line) -> None:
    """Write a line or nothing of it: half a line would make the whole recording unreadable."""
    if line.first:
        line.path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(line.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if line.first and size > 0:
            return
        data = line.text.encode()
        if os.write(descriptor, data) < len(data):
            os.ftruncate(descriptor, size)
            raise OSError("the disk is full")
    finally:
        os.close(descriptor)


def _head(attempt: Recorded, domain: Domain) -> dict[str, object]:
    return {
        "trace": f"{attempt.namespace}/{attempt.name} attempt {attempt.number}",
        "guest": {"name": domain.name, "memory_MiB": domain.memory // _MEBI, "vcpus": domain.vcpus},
        "units": _UNITS,
    }


def _set_up(
    attempt: Recorded, domain: Domain, request: StartRequest, limit: timedelta | None
) -> dict[str, object]:
    params: dict[str, object] = {"postCopyAllowed": request.post_copy, **request.options.as_json()}
    if request.post_copy and request.post_copy_bandwidth is not None:
        params["bandwidth.postcopy"] = request.post_copy_bandwidth // _MEBI
    return {
        **_head(attempt, domain),
        "bandwidth_MiBps": None if request.bandwidth is None else request.bandwidth // _MEBI,
        "params": params,
        "downtime_limit_ms": _milliseconds(limit),
    }


def _job(job: CompletedJob, t: float) -> dict[str, object]:
    figures = {
        "operation": _OUTGOING,
        "time_elapsed": round(t * 1000) if job.elapsed is None else _milliseconds(job.elapsed),
        "downtime": _milliseconds(job.downtime),
        "memory_processed": job.transferred,
    }
    return {key: value for key, value in figures.items() if value is not None}


def _milliseconds(value: timedelta | None) -> int | None:
    return None if value is None else round(value.total_seconds() * 1000)
