"""What admission adds to a write of status, in CPU time of the API server.

    python bench/admission.py [WRITES]

A control plane of its own; the source's agent of one migration reports progress, one write after the other, with
the policies of manifests/base bound and without, by turns. CPU time leaves out what else the machine does.
"""

import asyncio
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psutil
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from vmferry_api import API_VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR, SOURCE_AGENT
from vmferry_kube.migrations import StatusWriter
from vmferry_lab import processes
from vmferry_lab.controlplane import control_plane
from vmferry_lab.controlplane.commands import APISERVER
from vmferry_lab.directories import MANIFESTS
from vmferry_lab.lab import Lab

WRITES = 1000
ROUNDS = 3
TAKES_EFFECT = 5.0
"""Seconds until the API server has taken in that policies come or go."""
TIME = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
DECIDED = {
    "observedGeneration": 1,
    "phase": "Running",
    "desired": {
        "revision": 1,
        "state": "Migrate",
        "attempt": 1,
        "technique": "PreCopy",
        "stallingLimit": "10s",
        "progressTimeout": "150s",
    },
    "conditions": [
        {"type": each, "status": "True", "reason": "Bench", "message": "", "lastTransitionTime": TIME}
        for each in ("Accepted", "TargetReady", "Reconciling")
    ],
}


async def main() -> None:
    """Measure and tell."""
    writes = int(sys.argv[1]) if len(sys.argv) > 1 else WRITES
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmferry-bench-")))
    try:
        lab.up_control_plane(say=lambda _: None)
        sys.stdout.write(f"python bench/admission.py {writes}\nPython {platform.python_version()}\n\n")
        await _compare(lab, writes)
    finally:
        lab.down()


async def _compare(lab: Lab, writes: int) -> None:
    seen = await _begun(lab)
    took: dict[str, list[float]] = {"with": [], "without": []}
    async with await _client(lab.control_plane.agent_kubeconfig("node-a")) as client:
        agent = StatusWriter(client, manager=SOURCE_AGENT)
        for _ in range(ROUNDS):
            for how, found in took.items():
                await _bind(lab, bound=how == "with")
                each, seen = await _measured(lab, agent, seen, writes)
                found.append(each)
    for how, found in took.items():
        each_round = ", ".join(f"{each * 1000:.2f}" for each in found)
        sys.stdout.write(
            f"{how + ' policies':<18} {min(found) * 1000:5.2f} ms at best; rounds: {each_round}\n"
        )


async def _bind(lab: Lab, *, bound: bool) -> None:
    if bound:
        lab.kubectl.run("apply", "--server-side", "-k", str(MANIFESTS / "base"))
    else:
        lab.kubectl.run("delete", "validatingadmissionpolicybinding", "--all")
    await asyncio.sleep(TAKES_EFFECT)


async def _begun(lab: Lab) -> VMMigration:
    """A migration as the operator has left it."""
    spec = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"}
    lab.kubectl.apply(
        {"apiVersion": API_VERSION, "kind": "VMMigration", "metadata": {"name": "bench"}, "spec": spec}
    )
    seen = VMMigration.model_validate(lab.kubectl.get("vmmig", "bench"))
    async with await _client(lab.control_plane.kubeconfig(control_plane.OPERATOR)) as client:
        writer = StatusWriter(client, manager=OPERATOR)
        return VMMigration.model_validate(await writer.apply_migration(seen.metadata, DECIDED))


async def _client(kubeconfig: Path) -> ApiClient:
    configuration = Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)


async def _measured(
    lab: Lab, agent: StatusWriter, seen: VMMigration, writes: int
) -> tuple[float, VMMigration]:
    """CPU seconds of a write, and the migration as it then is."""
    (server,) = processes.of_component(lab.directory, APISERVER)
    before = _cpu(server)
    for number in range(writes):
        progress = {"percent": number % 100, "pass": number + 1, "remaining": 1, "transferred": number}
        status = {
            "attempts": [{"number": 1, "start": TIME}],
            "progress": {**progress, "total": 2, "elapsed": "1s"},
        }
        seen = VMMigration.model_validate(await agent.apply_migration(seen.metadata, status))
    return (_cpu(server) - before) / writes, seen


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    asyncio.run(main())
