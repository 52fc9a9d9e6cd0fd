"""What the agent costs a host: memory and CPU, idle and for each migration that runs.

    .venv/bin/python bench/agent_footprint.py

Needs root, as bench/objective.py does. Measured are the agents of both hosts, the source's and the target's, with
guests that never converge. Wanted: less than 100 MiB, and less than 1 % of a core for each migration.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from measured_runs import LINK, NAMESPACE
from vmferry_api import API_VERSION
from vmferry_lab import processes
from vmferry_lab.components import agent_name
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

RESULTS = Path(__file__).with_name("results") / "agent_footprint.txt"
POLICY = "never-ends"
SOURCE, TARGET = "node-a", "node-b"
_MEBI = 2**20
_SETTLED = 5.0
"""Seconds between a start and what is measured."""
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """One agent over some time."""

    agent: str
    migrations: int
    memory: int
    """Bytes that are resident at its end."""
    cpu: float
    """Of one core, as a fraction."""


@click.command()
@click.option("--idle", default=60.0, show_default=True, help="Seconds without migrations.")
@click.option("--each", default=30.0, show_default=True, help="Seconds with migrations.")
@click.option("--migrations", "numbers", multiple=True, default=(1, 4), show_default=True, help="At once.")
def main(*, idle: float, each: float, numbers: tuple[int, ...]) -> None:
    """Measure, print a table, and keep it."""
    command = f"# {' '.join(['bench/agent_footprint.py', *sys.argv[1:]])}   ({time.strftime('%Y-%m-%d')})"
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmf-")))
    try:
        lab.up(hosts=2, link=LINK, say=lambda _: None)
        lab.kubectl.apply(_policy())
        time.sleep(_SETTLED)
        measured = _measured(lab, 0, idle)
        for number in numbers:
            measured += _with_migrations(lab, number, each)
    finally:
        lab.down()
    lines = [command, *_table(measured)]
    RESULTS.write_text("".join(f"{line}\n" for line in lines))
    click.echo("\n".join(lines))


def _with_migrations(lab: Lab, number: int, seconds: float) -> list[Footprint]:
    guests = [lab.guest(f"f{number}-{each}") for each in range(number)]
    try:
        for guest in guests:
            _start(lab, guest)
        for guest in guests:
            lab.kubectl.apply(_migration(guest.name))
        for guest in guests:
            until(f"{guest.name} to run", lambda name=guest.name: _passes(lab, name), timeout=_PATIENCE)  # type: ignore[misc]
        time.sleep(_SETTLED)
        measured = _measured(lab, number, seconds)
        for guest in guests:
            lab.kubectl.run("patch", "vmmig", guest.name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
        lab.kubectl.run("wait", "vmmig", "--all", "--for=jsonpath={.status.phase}=Cancelled", "--timeout=60s")
        lab.kubectl.run("delete", "vmmig", "--all")
    finally:
        for guest in guests:
            guest.destroy(lab.hosts)
    return measured


def _start(lab: Lab, guest: Guest) -> None:
    """A guest so small that four find room, and faster than its part of the link."""
    spec = GuestSpec(
        name=guest.name, memory=64 * _MEBI, dirty_rate=40_000_000, working_set=24 * _MEBI, cold=8 * _MEBI
    )
    guest.start(lab.host(SOURCE), spec)


def _passes(lab: Lab, name: str) -> bool:
    progress = lab.kubectl.get("vmmig", name, namespace=NAMESPACE).get("status", {}).get("progress", {})
    return int(progress.get("pass", 0)) > 1


def _measured(lab: Lab, migrations: int, seconds: float) -> list[Footprint]:
    agents = [_agent(lab, node) for node in (SOURCE, TARGET)]
    before = [_cpu_seconds(agent) for agent in agents]
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return [
        Footprint(
            agent=name,
            migrations=migrations,
            memory=agent.memory_info().rss,
            cpu=(_cpu_seconds(agent) - spent) / took,
        )
        for name, agent, spent in zip(("source", "target"), agents, before, strict=True)
    ]


def _agent(lab: Lab, node: str) -> psutil.Process:
    (agent,) = processes.of_component(lab.directory, agent_name(node))
    return agent


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _table(measured: Sequence[Footprint]) -> list[str]:
    lines = [f"{'migrations':>10}  {'agent':8}{'memory':>10}{'CPU':>10}{'for each, above idle':>24}"]
    idle = {each.agent: each.cpu for each in measured if each.migrations == 0}
    for each in measured:
        part = (each.cpu - idle[each.agent]) / each.migrations if each.migrations else None
        lines.append(
            f"{each.migrations:>10}  {each.agent:8}{each.memory / _MEBI:>6.1f} MiB{each.cpu:>10.2%}"
            f"{'-' if part is None else f'{part:.2%}':>24}"
        )
    return lines


def _policy() -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": "MigrationPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "maxDowntime": "10ms",
            "progressTimeout": "0s",
            "bandwidth": {"perMigration": "10Mi"},
            "concurrency": {"outgoingPerNode": 8, "incomingPerNode": 8},
        },
    }


def _migration(name: str) -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": "VMMigration",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"vm": name, "sourceNode": SOURCE, "targetNode": TARGET, "policyRef": {"name": POLICY}},
    }


if __name__ == "__main__":
    main()
