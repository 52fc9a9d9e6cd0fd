"""Migrations recorded on libvirt 9.0 and QEMU 7.2: one line per sample of jobStats.

Four at 10 Hz and 50 MiB/s, idle: a quiet guest. borderline: 48 MB/s over 88 MiB, converges slowly. nonconverging:
80 MB/s over 64 MiB. postcopy: as nonconverging, switched to post-copy. The others by the agent, at its own
cadence: bench/record_traces.py tells what they are.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from vmferry_agent.hypervisor.port import Sample

_TRACES = Path(__file__).parents[2] / "traces"
TRACES = sorted(path.stem for path in _TRACES.glob("*.jsonl"))
Row = dict[str, Any]
_OUTGOING, _UNBOUNDED = 5, 2


def samples(name: str, *, every: float = 0.5) -> Iterator[tuple[float, Sample]]:
    """The moments and samples of a trace, thinned out to how often the agent looks."""
    return read(_TRACES / f"{name}.jsonl", every=every)


def rows(name: str) -> list[Row]:
    """All lines of a trace: the set-up, then samples and events in their order."""
    return [json.loads(line) for line in (_TRACES / f"{name}.jsonl").read_text().splitlines()]


def shows_job(row: Row) -> bool:
    """Whether it is a sample of a migration that runs."""
    return (row.get("op"), row.get("type")) == (_OUTGOING, _UNBOUNDED)


def read(path: Path, *, every: float = 0.0) -> Iterator[tuple[float, Sample]]:
    """The same of any recording."""
    due = 0.0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if not shows_job(row) or row["t"] < due:
            continue
        due = row["t"] + every
        yield row["t"], sample_of(row)


def sample_of(row: Row) -> Sample:
    """What it shows."""
    return Sample(
        elapsed=timedelta(milliseconds=row["el"]),
        memory_pass=row["it"],
        remaining=row["rem"],
        transferred=row["proc"],
        total=134 * 2**20,
        bandwidth=row.get("bps"),
        dirty_rate=row["dr"] * 4096,
        expected_downtime=timedelta(milliseconds=row["dt"]) if "dt" in row else None,
        throttle=row.get("thr"),
        zero_pages=row.get("zero", 0),
        normal_pages=row.get("norm", 0),
        post_copy_requests=row["pcr"],
    )
