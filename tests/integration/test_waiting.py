"""What those who wait for a migration are told in each phase: kubectl wait, kstatus, Argo CD, Flux.

The API server and the operator are real; the test writes what the agents of two hosts would report.
"""

import asyncio
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gitops_health import argo_cd, flux, kstatus
from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_kube.errors import ConflictError
from vmferry_kube.migrations import StatusWriter
from vmferry_lab.controlplane.control_plane import LOOPBACK, OPERATOR
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import Kubectl, kubectl_path
from vmferry_lab.until import until

PATIENCE = 60.0
MOVING = ("InProgress", "Progressing", "InProgress")
MOVED = ("Current", "Healthy", "Current")
STUCK = ("Failed", "Degraded", "Failed")
CANCELLED = ("Current", "Degraded", "Failed")
"""kstatus knows no cancel: it is done as was wished; who waits for the VM to have moved waits in vain."""
VM = {"name": "db-1", "uuid": "7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", "memory": "1Gi", "vcpus": 1}
LINK_LOST = ("LinkLost", "the link is gone; trying again")


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def operator(control_plane, tmp_path):
    """Starts the operator when it is called."""
    started = []
    log = tmp_path / "operator.log"
    command = [sys.executable, "-m", "vmferry_operator", "--health-address", LOOPBACK, "--health-port", "0"]

    def start():
        with log.open("w") as output:
            started.append(
                subprocess.Popen(
                    command,
                    stderr=output,
                    env=client_environment(control_plane.kubeconfig(OPERATOR)),
                )
            )

    yield start
    for each in started:
        each.terminate()
        assert each.wait(timeout=PATIENCE) in {0, -signal.SIGTERM}
    assert "Traceback" not in log.read_text()


class Played:
    """A migration whose agents the test plays."""

    def __init__(self, api, source, target, name):
        self._api = api
        self._source = source
        self._target = target
        self.name = name
        self._reported = {}

    def get(self):
        return self._api.get_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", self.name)

    async def source(self, **status):
        """The source's agent reports; what it has reported before stays."""
        self._reported |= status
        await self._write(self._source, self._reported)

    async def target(self, **report):
        await self._write(self._target, {"target": {"ready": True, **report}})

    async def _write(self, writer, status):
        for _ in range(20):
            seen = VMMigration.model_validate(self.get()).metadata
            try:
                await writer.apply_migration(seen, status)
            except ConflictError:  # the operator has written in between
                continue
            else:
                return
        pytest.fail("never written")

    async def comes_to(self, what, holds):
        """The object once something holds of its status."""

        def probe():
            found = self.get()
            return found if holds(found.get("status", {})) else None

        return await asyncio.to_thread(until, f"{self.name}: {what}", probe, timeout=PATIENCE)

    async def phase(self, phase, reason=None):
        return await self.comes_to(
            f"{phase} {reason or ''}",
            lambda status: status.get("phase") == phase and reason in {None, status.get("reason")},
        )


@pytest.fixture
async def played(control_plane, connected, api):
    kubectl = Kubectl(control_plane.kubeconfig())
    kubectl.apply(
        *({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in ("node-a", "node-b"))
    )
    source, target = [
        StatusWriter(await connected(control_plane.agent_kubeconfig(node)), manager=manager)
        for node, manager in (("node-a", SOURCE_AGENT), ("node-b", TARGET_AGENT))
    ]
    names = []

    def create(name, **spec):
        body = {
            "apiVersion": API_VERSION,
            "kind": "VMMigration",
            "metadata": {"name": name},
            "spec": {"vm": f"vm-of-{name}", "sourceNode": "node-a", "targetNode": "node-b", **spec},
        }
        api.create_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", body)
        names.append(name)
        return Played(api, source, target, name)

    yield create
    for name in names:
        kubectl.run("patch", "vmmig", name, "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
        kubectl.run("delete", "vmmig", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def waits(control_plane):
    """Starts `kubectl wait` in the background."""
    started = []

    def start(*words):
        kubeconfig = control_plane.kubeconfig()
        process = subprocess.Popen(
            [str(kubectl_path()), "wait", "--timeout=300s", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=client_environment(kubeconfig),
        )
        started.append(process)
        return process

    yield start
    for each in started:
        each.kill()
        each.wait()
        each.stdout.close()


def told(found):
    """What kstatus, Argo CD and Flux make of an object."""
    return (kstatus([found])[0], argo_cd(found)[0], flux(found))


def running(**more):
    return {"attempts": [{"number": 1, "start": now(), **more}]}


def condition(type_, status, reason, message=""):
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now(),
    }


async def begins(migration):
    """Both hosts are ready, and the first attempt has begun."""
    await migration.target()
    await migration.source(source={"vm": {**VM, "state": "Running", "reason": "Booted"}})
    await migration.comes_to("a start", lambda status: "desired" in status)
    await migration.source(**running())
    return await migration.phase("Running", "Migrating")


async def in_post_copy(migration):
    await migration.source(source={"vm": {**VM, "state": "Paused", "reason": "PostCopy"}}, conditions=[])
    return await migration.phase("PostCopy", "PostCopy")


async def interrupted(migration, reason, message):
    interruption = condition("PostCopyInterrupted", "True", reason, message)
    await migration.source(conditions=[interruption])
    return await migration.phase("Recovering", reason)


async def test_a_migration_is_in_progress_until_the_vm_has_moved(operator, played, waits):
    migration = played("moves")
    by_condition = waits("--for=condition=Complete", "vmmig/moves")
    by_phase = waits("--for=jsonpath={.status.phase}=Succeeded", "vmmig/moves")
    fresh = migration.get()
    assert fresh["status"] == {"observedGeneration": -1}
    assert told(fresh) == MOVING, "nobody has looked at it yet"
    operator()
    assert told(await migration.phase("Pending")) == MOVING
    assert told(await begins(migration)) == MOVING
    stalling = condition("MigrationStalling", "True", "NotConverging", "1.28s for 4s")
    await migration.source(conditions=[stalling])
    assert told(await migration.phase("Running", "NotConverging")) == MOVING, "stalling is no failure"
    assert told(await in_post_copy(migration)) == MOVING
    recovering = await interrupted(migration, *LINK_LOST)
    assert told(recovering) == MOVING
    assert argo_cd(recovering)[1].startswith("LinkLost: ")
    assert told(await interrupted(migration, "RecoveryExhausted", "ten tries")) == STUCK
    await in_post_copy(migration)
    end = {"end": now(), "outcome": "Completed", "downtime": "65ms"}
    assert by_condition.poll() is by_phase.poll() is None
    await migration.source(source={"vm": {**VM, "state": "Absent"}}, **running(**end))
    await migration.target(vm={**VM, "state": "Running", "reason": "Migrated"}, afterAttempt=1)
    done = await migration.phase("Succeeded", "Migrated")
    assert told(done) == MOVED
    assert "stopped for 65ms" in argo_cd(done)[1]
    for each in (by_condition, by_phase):
        said, _ = await asyncio.to_thread(each.communicate)
        assert (each.returncode, said) == (0, "vmmigration.vmferry.io/moves condition met\n")


async def test_an_edit_after_the_end_is_observed_so_that_nobody_waits_for_it(
    operator, played, waits, api, control_plane
):
    migration = played("gone-from-source")
    operator()
    await migration.target()
    await migration.source(source={"vm": {"state": "Absent"}, "message": "node-a has no domain"})
    failed = await migration.phase("Failed", "VMNotFound")
    assert told(failed) == STUCK
    assert argo_cd(failed)[1] == "VMNotFound: node-a has no domain"
    Kubectl(control_plane.kubeconfig()).run(
        "patch",
        "vmmig",
        migration.name,
        "--type=merge",
        "-p",
        '{"spec": {"overrides": {"maxDowntime": "1s"}}}',
    )
    await migration.comes_to("the edit", lambda status: status["observedGeneration"] == 2)
    assert told(migration.get()) == STUCK
    waiting = waits("--for=condition=Failed", f"vmmig/{migration.name}")
    await asyncio.to_thread(waiting.wait, PATIENCE)
    assert waiting.returncode == 0


async def test_one_that_was_cancelled_is_done_but_the_vm_has_not_moved(operator, played, waits):
    migration = played("cancelled", cancel=True)
    waiting = waits("--for=jsonpath={.status.phase}=Cancelled", "vmmig/cancelled")
    operator()
    cancelled = await migration.phase("Cancelled", "Cancelled")
    assert told(cancelled) == CANCELLED
    await asyncio.to_thread(waiting.wait, PATIENCE)
    assert waiting.returncode == 0


async def test_one_that_is_deleted_while_it_runs_is_terminating(operator, played, control_plane):
    migration = played("deleted")
    operator()
    await begins(migration)
    Kubectl(control_plane.kubeconfig()).run("delete", "vmmig", migration.name, "--wait=false")
    cancelling = await migration.phase("Running", "Cancelling")
    assert kstatus([cancelling]) == ["Terminating"]


async def test_policies_are_ready_or_have_failed_with_what_can_t_be_read(operator, control_plane):
    kubectl = Kubectl(control_plane.kubeconfig())
    fresh = json.loads(kubectl.run("get", "migpol", "balanced", "-o", "json"))
    assert told({**fresh, "status": {"observedGeneration": -1}}) == MOVING
    operator()
    words = ("wait", "--for=condition=Ready", "migpol", "--all", "--timeout=60s")
    await asyncio.to_thread(kubectl.run, *words, timeout=90)
    ready = json.loads(kubectl.run("get", "migpol", "balanced", "-o", "json"))
    assert told(ready) == MOVED
    unreadable = {"type": "Ready", "status": "False", "reason": "Unreadable", "message": "spec.steps"}
    stalled = {**unreadable, "type": "Stalled", "status": "True"}
    bad = {**ready, "status": {**ready["status"], "conditions": [unreadable, stalled]}}
    assert told(bad) == STUCK
    assert argo_cd(bad) == ("Degraded", "spec.steps")
