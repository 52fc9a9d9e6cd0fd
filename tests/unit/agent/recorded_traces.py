"""Migrations recorded at 10 Hz on libvirt 9.0 and QEMU 7.2: one line per sample of jobStats.

idle: a quiet guest. borderline: 48 MB/s over 88 MiB, converges slowly. nonconverging: 80 MB/s over 64 MiB. All at
50 MiB/s. postcopy: as nonconverging, switched to post-copy.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from vmferry_agent.hypervisor.port import Sample

_TRACES = Path(__file__).parents[2] / "traces"
_OUTGOING, _UNBOUNDED = 5, 2


def samples(name: str, *, every: float = 0.5) -> Iterator[tuple[float, Sample]]:
    """The moments and samples of a trace, thinned out to how often the agent looks."""
    return read(_TRACES / f"{name}.jsonl", every=every)


def read(path: Path, *, every: float = 0.0) -> Iterator[tuple[float, Sample]]:
    """The same of any recording."""
    due = 0.0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row.get("type") != _UNBOUNDED or row.get("op") != _OUTGOING or row["t"] < due:
            continue
        due = row["t"] + every
        yield row["t"], _sample(row)


def _sample(row: dict[str, int]) -> Sample:
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
