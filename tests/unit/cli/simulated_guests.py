"""Guests and jobs of the model, in the lab's terms, for the tables."""

from collections.abc import Iterator
from pathlib import Path

from kubectl_vmferry.policy_files import read_policies
from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.pre_copy import ModelJob
from kubectl_vmferry.simulation.recording import Recording, read_recording
from vmferry_agent.hypervisor.port import Sample
from vmferry_api.policies import MigrationPolicy

MIB, GIB = 2**20, 2**30
ROOT = Path(__file__).parents[3]
TRACES = sorted(path.stem for path in (ROOT / "tests" / "traces").glob("*.jsonl"))
PRESETS = sorted(
    path for path in (ROOT / "manifests" / "policies").glob("*.yaml") if path.name != "kustomization.yaml"
)
BANDWIDTH = 50 * MIB
FIRMWARE = 393_216
"""What QEMU counts beside the guest's own memory."""
TICK = 0.004
"""The lab's guest writes 250 times a second."""


def lab_guest(rate: float, hot: int, cold: int, *, memory: int = 128, phase: float = 1 / 3) -> Guest:
    """The lab's guest: MB/s over so many hot MiB, and cold ones that it has written once."""
    return Guest(
        memory=memory * MIB + FIRMWARE,
        dirty_rate=rate * 1e6,
        working_set=hot * MIB,
        used=(hot + cold + 2) * MIB,
        phase=phase,
        tick=TICK,
    )


def samples(job: ModelJob, *, until: float, every: float = 0.1) -> Iterator[tuple[float, Sample]]:
    """The job's samples while it runs."""
    steps = 0
    while job.end is None and steps * every < until:
        steps += 1
        job.run_until(steps * every)
        yield steps * every, job.sample()


def needed_by_pass(seen: Iterator[tuple[float, Sample]]) -> dict[int, float]:
    """The needed downtime of each pass from the second on, in seconds, as last seen in it."""
    return {
        sample.memory_pass: sample.expected_downtime.total_seconds()
        for _, sample in seen
        if sample.memory_pass > 1 and sample.expected_downtime
    }


def trace(name: str) -> Path:
    """The file of a recording."""
    return ROOT / "tests" / "traces" / f"{name}.jsonl"


def recording(name: str) -> Recording:
    """A recording."""
    return read_recording(name, trace(name).read_text().splitlines())


def preset(name: str) -> MigrationPolicy:
    """A policy of manifests/policies."""
    path = ROOT / "manifests" / "policies" / f"{name}.yaml"
    return read_policies([(path.name, path.read_text())])[0].policy


def policy(name: str = "p", **spec: object) -> MigrationPolicy:
    """A policy."""
    return MigrationPolicy.model_validate({"metadata": {"name": name, "generation": 1}, "spec": spec})
