"""What kubectl, and whoever waits, show of real migrations: the story, the word, the health, and no drift."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from asked_migration import PATIENCE, phase_is
from hopeless import HOPELESS, HOPELESS_GUEST

from gitops_health import argo_cd, flux, kstatus
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import Phase
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.until import until

CHECKOUT = Path(__file__).parents[2]
DOCUMENT = (CHECKOUT / "docs" / "gitops.md").read_text()
MOVING = ("InProgress", "Progressing", "InProgress")
HEALTH = {
    "Succeeded": ("Current", "Healthy", "Current"),
    "Failed": ("Failed", "Degraded", "Failed"),
    "Cancelled": ("Current", "Degraded", "Failed"),
}
"""What kstatus, Argo CD and Flux make of the ends."""
LADDER = {
    **HOPELESS,
    "bandwidth": {"perMigration": "25Mi"},
    "stallingLimit": "2s",
    "steps": [
        {"after": {"stalled": "1s"}, "setMaxDowntime": "500ms"},
        {"after": {"stalled": "1s"}, "setMaxDowntime": "6s"},
    ],
}
"""The guest needs 2.6 s; a link that is told to carry so little does also on a busy machine."""


@dataclass
class Background:
    """A kubectl that runs, and the file that has what it prints."""

    process: subprocess.Popen
    file: Path

    @property
    def versions(self):
        """Each version of an object that a watch has printed, but for one that is cut off."""
        text, decoder, found = self.file.read_text(), json.JSONDecoder(), []
        while text := text.lstrip():
            try:
                each, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            found.append(each)
            text = text[end:]
        return found

    def to_its_end(self):
        """All versions up to the end of the migration."""

        def ended():
            found = self.versions
            return found if found and found[-1]["status"].get("phase") in HEALTH else None

        return until("the watch to have seen the end", ended, timeout=PATIENCE)


@pytest.fixture
def in_background(lab, tmp_path):
    """Starts kubectl in the background."""
    started = []

    def start(*words):
        file = tmp_path / f"output-{len(started)}"
        with file.open("w") as output:
            process = subprocess.Popen(
                [str(kubectl_path()), *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=client_environment(lab.kubectl.kubeconfig),
            )
        started.append(process)
        return Background(process, file)

    yield start
    for each in started:
        each.kill()
        each.wait()


def by_shell(lab, command, directory=CHECKOUT):
    """Runs a command line as a person would."""
    environment = client_environment(lab.kubectl.kubeconfig)
    environment["PATH"] = f"{kubectl_path().parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_a_ladder_is_told_waited_for_and_healthy_when_it_has_moved(
    lab, start_guest, policy, migrate, in_background
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**LADDER)
    migration = migrate(guest.name, policyRef={"name": name})
    watch = in_background("get", "vmmig", migration.name, "-o", "json", "--watch")
    wait = ("wait", f"vmmig/{migration.name}", "--timeout=120s")
    waiting = in_background(*wait, "--for=condition=Complete")
    by_phase = in_background(*wait, "--for=jsonpath={.status.phase}=Succeeded")
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [each.process.wait(PATIENCE) for each in (waiting, by_phase)] == [0, 0]

    story = migration.tells(
        "PolicySelected",
        "TargetReady",
        "AttemptStarted",
        "Migrating",
        "MigrationStalling",
        "StepTaken",
        "StepTaken",
        "AttemptCompleted",
        "Migrated",
    )
    steps = [each["note"].partition(", because")[0] for each in story if each["reason"] == "StepTaken"]
    assert steps == ["step 1: setMaxDowntime 10ms → 500ms", "step 2: setMaxDowntime 500ms → 6s"]
    described = lab.kubectl.run("describe", "vmmig", migration.name).partition("Events:")[2]
    assert re.search(r"Warning +MigrationStalling .* NotConverging: the needed downtime", described)
    assert re.search(rf"Normal +Migrated .* {guest.name} runs on node-b, stopped for", described)
    of_policy = lab.kubectl.run("describe", "migpol", name).partition("Events:")[2]
    assert re.search(rf"StepTaken .* default/{migration.name}: step 1: setMaxDowntime", of_policy)

    objects = watch.to_its_end()
    words = list(dict.fromkeys(each["status"].get("reason") for each in objects))
    assert words[-1] == "Migrated"
    assert "NotConverging" in words
    assert_health(objects)


def assert_health(objects):
    """Each version is moving until it has come to its end, to everybody."""
    assert {each["status"].get("phase") for each in objects} & set(HEALTH)
    for each, status in zip(objects, kstatus(objects), strict=True):
        expected = HEALTH.get(each["status"].get("phase", ""), MOVING)
        if "deletionTimestamp" not in each["metadata"]:
            assert (status, argo_cd(each)[0], flux(each)) == expected, each["status"]


def test_one_that_is_cancelled_is_told_so_and_over(lab, start_guest, policy, migrate, in_background):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**{**LADDER, "steps": None})})
    watch = in_background("get", "vmmig", migration.name, "-o", "json", "--watch")
    migration.wait("stalling", lambda each: is_true(each.status.conditions, ConditionType.MIGRATION_STALLING))
    migration.patch_spec(cancel=True)
    migration.wait("its end", phase_is(Phase.CANCELLED))
    migration.tells("CancelRequested", "AttemptCancelled", "MigrationCancelled")
    assert_health(watch.to_its_end())
    assert "Cancelled" in lab.kubectl.run("get", "vmmig", migration.name)


def test_the_commands_of_the_document_do_what_it_says(lab, start_guest, policy, migrate):
    guest = start_guest(dirty_rate=5_000_000)
    migration = migrate(guest.name, policyRef={"name": policy()})
    commands = re.findall(r"^\$ (kubectl (?:wait|get|diff) .*)\n(.*)$", DOCUMENT, re.MULTILINE)
    assert len(commands) == 4
    for command, says in commands:
        said = by_shell(lab, command.replace("db-1-to-b", migration.name))
        assert said == says.replace("db-1-to-b", migration.name)


def test_what_is_applied_twice_shows_no_drift_though_the_operator_writes_all_the_time(
    lab, start_guest, policy, migrate
):
    lab.kubectl.run("wait", "--for=condition=Ready", "migpol", "--all", "--timeout=60s")
    before = generations(lab)
    for directory in ("policies", "base"):
        place = str(CHECKOUT / "manifests" / directory)
        lab.kubectl.run("apply", "--server-side", "-k", place)
        assert by_shell(lab, f"kubectl diff --server-side -k {place}") == ""
    assert by_shell(lab, "kubectl diff -k manifests/policies") == ""
    assert generations(lab) == before
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**{**LADDER, "steps": None})})
    migration.passes(2)
    spec = {"vm": guest.name, "sourceNode": "node-a", "targetNode": "node-b"}
    wanted = {
        "apiVersion": "vmferry.io/v1alpha1",
        "kind": "VMMigration",
        "metadata": {"name": migration.name},
        "spec": {**spec, "policyRef": migration.get().spec.policy_ref.as_json()},
    }
    until("no drift", lambda: is_as_wanted(lab, wanted), timeout=PATIENCE)
    migration.patch_spec(cancel=True)
    migration.ends()
    cancelled = {**wanted, "spec": {**wanted["spec"], "cancel": True}}
    until("no drift", lambda: is_as_wanted(lab, cancelled), timeout=PATIENCE)


def is_as_wanted(lab, wanted):
    return lab.kubectl.is_as_wanted("-f", "-", stdin=json.dumps(wanted))


def generations(lab):
    found = json.loads(lab.kubectl.run("get", "migpol", "-o", "json"))["items"]
    return {each["metadata"]["name"]: each["metadata"]["generation"] for each in found}
