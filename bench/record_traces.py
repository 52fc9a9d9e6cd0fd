"""Records the migrations that tests/traces holds: guests that a stall detector may be wrong about.

    .venv/bin/python bench/record_traces.py --to tests/traces

Needs root: each host gets a link that carries 55 MB/s. One migration at a time; 12 minutes. Samples are what the
agent saw, at its own cadence; nothing is thinned out.
"""

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from measured_runs import LINK, Job, Lanes, Run
from vmferry_api.migrations import Storage
from vmferry_lab.guests.image import Pattern
from vmferry_lab.guests.workloads import BURSTS, HOPELESS, JUST_ABOVE, LARGE, Workload
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.lab import Lab

_MB = 1_000_000
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A guest, and how it is migrated."""

    workload: Workload
    bandwidth: str = "50Mi"
    seconds: int = 45
    """After which one that does not end is given up."""
    words: dict[str, object] = field(default_factory=dict)
    """Further ones of the policy."""
    storage: Storage = Storage.SHARED

    @property
    def policy(self) -> dict[str, object]:
        """The policy's spec."""
        return {
            "bandwidth": {"perMigration": self.bandwidth},
            "progressTimeout": "0s",
            "timeout": {"base": f"{self.seconds}s"},
            **self.words,
        }


def _xbzrle(cache: str) -> dict[str, object]:
    return {"start": {"compression": {"method": "XBZRLE", "cacheSize": cache}}}


def _throttled(initial: int, increment: int) -> dict[str, object]:
    auto_converge = {"initial": initial, "increment": increment}
    return {"start": {"autoConverge": auto_converge}, "maxDowntime": "100ms"}


_RANDOM = replace(HOPELESS, pattern=Pattern.RANDOM)
_INCOMPRESSIBLE = replace(HOPELESS, pattern=Pattern.INCOMPRESSIBLE)
_QUICKER_LINK = [
    {"after": {"passes": 6}, "setBandwidth": "40Mi"},
    {"after": {"passes": 16}, "setBandwidth": "52Mi"},
]

RECORDED = {
    "xbzrle-random": Recorded(workload=_RANDOM, words={**_xbzrle("16Mi"), "maxDowntime": "30ms"}),
    "xbzrle-incompressible": Recorded(workload=_INCOMPRESSIBLE, words=_xbzrle("64Mi")),
    "throttled-gently": Recorded(workload=HOPELESS, words=_throttled(20, 10)),
    "throttled-hard": Recorded(workload=HOPELESS, words=_throttled(90, 9)),
    "bursty": Recorded(workload=BURSTS),
    "saw-tooth": Recorded(
        workload=replace(BURSTS, rates=((2.5, 30 * _MB), (5, 80 * _MB))), words={"maxDowntime": "30ms"}
    ),
    "just-above": Recorded(workload=JUST_ABOVE, words={"maxDowntime": "500ms"}),
    "large": Recorded(workload=LARGE, bandwidth="20Mi", seconds=110),
    "bandwidth-raised": Recorded(
        workload=replace(HOPELESS, dirty_rate=45 * _MB),
        bandwidth="30Mi",
        words={"minStepInterval": "1s", "steps": _QUICKER_LINK},
    ),
    "disk-then-memory": Recorded(
        workload=replace(HOPELESS, local_disk=True), bandwidth="10Mi", seconds=75, storage=Storage.COPY_ALL
    ),
    "slow-link": Recorded(workload=HOPELESS, bandwidth="100Mi"),
    "link-near-cap": Recorded(workload=HOPELESS, bandwidth="65Mi"),
}
"""By the names of their files."""


@click.command()
@click.option("--to", "directory", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--trace", "names", multiple=True, type=click.Choice(list(RECORDED)), help="Default: all.")
def main(*, directory: Path, names: tuple[str, ...]) -> None:
    """Record, and say of each how it ended."""
    wanted = {name: RECORDED[name] for name in names or RECORDED}
    directory.mkdir(parents=True, exist_ok=True)
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmf-")))
    try:
        lab.up(kind=HostsKind.NODE, link=LINK, say=lambda _: None)
        lanes = Lanes(lab, {name: each.policy for name, each in wanted.items()})
        jobs = [
            Job(workload=replace(each.workload, name=name), policy=name, storage=each.storage)
            for name, each in wanted.items()
        ]
        lanes.run(jobs, lambda run: _keep(run, lab.components.traces, directory))
    finally:
        lab.down()


def _keep(run: Run, traces: Path, directory: Path) -> None:
    """Copy the recording of a run, with what was asked for in its first line."""
    name = run.job.policy
    (trace,) = traces.glob(f"*_{name}-*_1.jsonl")
    head, *rows = trace.read_text().splitlines()
    wanted = {**json.loads(head), "trace": name, "command": f"bench/record_traces.py --trace {name}"}
    text = "\n".join([json.dumps(wanted), *rows]) + "\n"
    (directory / f"{name}.jsonl").write_text(text)
    steps = "; ".join(run.actions)
    click.echo(f"{name:20}{run.phase:12}{run.seconds:6.1f} s  {len(text) // 1000:4} kB  {steps}")


if __name__ == "__main__":
    main()
