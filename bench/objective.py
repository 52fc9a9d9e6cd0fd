"""How the planner of objectives does against plain libvirt and oVirt's policies, on the same guests and links.

    .venv/bin/python bench/objective.py --runs 3 | tee bench/results/objective.txt

Needs root: each pair of hosts gets a network namespace whose loopback carries 55 MB/s.
"""

import sys
import tempfile
import time
from pathlib import Path

import click
import yaml

from measured_runs import LINK, Job, Lanes, Run, median
from vmferry_lab.guests.workloads import BORDERLINE, BURSTS, HOPELESS, IDLE, JUST_ABOVE, LARGE, Workload
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.lab import Lab

BANDWIDTH = {"perMigration": "50Mi"}
_PRESETS = Path(__file__).parents[1] / "manifests" / "policies"
_OBJECTIVE = {"preferredDowntime": "300ms", "maxDowntime": "500ms", "completeWithin": "10m"}
INTO_BURST = (3.0, 0.0, 1.5)
"""Where in a burst the first, second and third run of a bursty guest starts, in seconds."""


def _preset(name: str) -> dict[str, object]:
    spec: dict[str, object] = yaml.safe_load((_PRESETS / f"{name}.yaml").read_text())["spec"]
    return {**spec, "bandwidth": BANDWIDTH}


def _objective(**words: object) -> dict[str, object]:
    return {"objective": {**_OBJECTIVE, **words}, "bandwidth": BANDWIDTH}


POLICIES: dict[str, dict[str, object]] = {
    "plain": {"bandwidth": BANDWIDTH, "progressTimeout": "0s"},
    "ovirt-minimal-downtime": _preset("minimal-downtime"),
    "ovirt-post-copy": _preset("post-copy"),
    "objective-gentle": _objective(allow=["AutoConverge"], throttle="Gentle"),
    "objective-hard": _objective(allow=["AutoConverge"], throttle="Hard"),
    "objective-1s": _objective(maxDowntime="1s"),
    "objective-post-copy": _objective(allow=["PostCopy"]),
    "objective-post-copy-at-once": _objective(allow=["PostCopy"], postCopy="AfterFirstPass"),
}
"""`plain` is what libvirt does with a bandwidth and QEMU's 300 ms, and nobody looking on."""
WORKLOADS = (LARGE, HOPELESS, JUST_ABOVE, BORDERLINE, BURSTS, IDLE)
"""The longest first."""
NEVER_ENDS = {("plain", each.name) for each in (HOPELESS, JUST_ABOVE, LARGE)} | {("objective-1s", LARGE.name)}


def bound(workload: Workload) -> float:
    """Seconds that no method can undercut when the guest writes all of its working set again meanwhile."""
    rate = 50 * 2**20
    again = workload.working_set / rate if workload in {HOPELESS, JUST_ABOVE, LARGE, BORDERLINE} else 0
    return workload.touched / rate + again


@click.command()
@click.option("--runs", default=3, show_default=True, help="Of each policy on each guest.")
@click.option("--lanes", default=3, show_default=True, help="Pairs of hosts at once.")
@click.option("--policy", "policies", multiple=True, type=click.Choice(list(POLICIES)), help="Default: all.")
@click.option("--workload", "names", multiple=True, help="Such as W3; default: all.")
def main(*, runs: int, lanes: int, policies: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Measure, and print a line for each run and a table of medians."""
    click.echo(f"# {' '.join(['bench/objective.py', *sys.argv[1:]])}   ({time.strftime('%Y-%m-%d')})")
    jobs = [
        Job(workload=workload, policy=policy, into_burst=INTO_BURST[run % 3] if workload.rates else 0.0)
        for run in range(runs)
        for workload in WORKLOADS
        if not names or workload.name in names
        for policy in policies or POLICIES
        if (policy, workload.name) not in NEVER_ENDS
    ]
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmf-")))
    try:
        lab.up(hosts=2 * lanes, kind=HostsKind.SESSION, link=LINK, say=lambda _: None)
        done = Lanes(lab, POLICIES).run(jobs, lambda run: click.echo(_line(run)))
    finally:
        lab.down()
    click.echo()
    for line in _table(done):
        click.echo(line)
    click.echo(f"{len(done)} runs, {sum(not run.intact for run in done)} with damaged memory")


def _line(run: Run) -> str:
    downtime = "-" if run.downtime is None else f"{run.downtime * 1000:.0f} ms"
    return (
        f"{run.job.workload.name:4}{run.job.policy:28}{run.seconds:7.1f} s {downtime:>8} "
        f"lost {run.lost:5.1f} s  sent {run.sent / 1e9:4.1f} GB  {run.phase}  {'; '.join(run.actions)}"
    )


def _table(runs: list[Run]) -> list[str]:
    lines = ["medians: end s / downtime ms / guest time lost s / GB sent; x: did not move"]
    order = [each.name for each in reversed(WORKLOADS)]
    names = sorted({run.job.workload.name for run in runs}, key=order.index)
    lines.append(f"{'':28}" + "".join(f"{name:>22}" for name in names))
    for policy in POLICIES:
        cells = []
        for name in names:
            some = [run for run in runs if (run.job.policy, run.job.workload.name) == (policy, name)]
            cells.append(_cell(some) if some else "-")
        if any(cell != "-" for cell in cells):
            lines.append(f"{policy:28}" + "".join(f"{cell:>22}" for cell in cells))
    lines.append(
        f"{'bound, s':28}"
        + "".join(
            f"{bound(each):22.1f}"
            for each in sorted(WORKLOADS, key=lambda w: order.index(w.name))
            if each.name in names
        )
    )
    return lines


def _cell(runs: list[Run]) -> str:
    if sum(run.moved for run in runs) * 2 <= len(runs):
        return "x"
    end = median(runs, lambda run: run.seconds)
    downtime = median(runs, lambda run: run.downtime)
    lost = median(runs, lambda run: run.lost)
    sent = median(runs, lambda run: run.sent / 1e9)
    return f"{end:.1f}/{downtime * 1000:.0f}/{lost:.1f}/{sent:.1f}"


if __name__ == "__main__":
    main()
