"""Operator and agents use every right that they have, and are refused nothing.

What they ask is read from the API server's audit log, which tells the role that allowed each. An agent lists only
where the API server can't begin a watch with a list (before Kubernetes 1.32), and to check whether all is there.
"""

import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest
import yaml

from vmferry_api import GROUP, VERSION
from vmferry_api.migrations import Phase
from vmferry_lab.controlplane.audit import asked, refused
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.lab import MANIFESTS
from vmferry_lab.until import until

PATIENCE = 120.0
ROLES = {"vmferry-operator": "operator-rbac.yaml", "vmferry-agent": "agent-rbac.yaml"}


def given(file: Path) -> set[tuple[str, str, str]]:
    """Group, resource and verb of each right in a file."""
    roles = [each for each in yaml.safe_load_all(file.read_text()) if each["kind"].endswith("Role")]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(lab, account) -> set[tuple[str, str, str]]:
    """Group, resource and verb of what an account has asked for and was given by its own roles."""
    return {
        (each.group, each.resource, each.verb)
        for each in asked(lab.control_plane.audit_log)
        if each.account == account and each.role == account
    }


BURST = 0.5
"""Seconds of touching, and of the pause after it, in which the writes that were in the way of it get through."""


@pytest.fixture
def touched(api):
    """Changes the annotations of a migration, in bursts, so that others' writes meet a new version of it."""
    ended, threads = threading.Event(), []

    def touch(migration):
        def run():
            pause_at = time.monotonic() + BURST
            for number in count(1):
                body = {"metadata": {"annotations": {"example.com/touched": str(number)}}}
                api.patch_namespaced_custom_object(
                    GROUP, VERSION, "default", "vmmigrations", migration.name, body
                )
                if time.monotonic() >= pause_at:
                    ended.wait(BURST)
                    pause_at = time.monotonic() + BURST
                if ended.is_set():
                    return

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    def stop():
        ended.set()
        for each in threads:
            each.join()

    yield touch, stop
    stop()


@pytest.fixture
def go(policy, start_guest, migrate):
    """Migrates a new VM by one policy, that selects by the namespace's labels."""
    namespaces = {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    name = policy(selector={"namespaces": namespaces}, maxDowntime="2s")
    return lambda **spec: migrate(start_guest(cold=None).name, policyRef={"name": name}, **spec)


def checked(lab) -> str:
    """What `vmferry-agent check` says."""
    host = lab.host("node-a")
    addresses = ["--libvirt-uri", host.own_uri, "--connect-uri", host.connect_uri]
    return subprocess.run(
        [*host.command(), sys.executable, "-m", "vmferry_agent", "check", "--node", host.name, *addresses],
        env=client_environment(lab.control_plane.agent_kubeconfig(host.name)),
        capture_output=True,
        text=True,
        check=False,  # what it says of libvirt is of no concern here
        timeout=PATIENCE,
    ).stdout


@pytest.fixture
def asked_before(lab):
    """How many requests there were before operator and agents began; others may have run earlier in this lab."""
    before = len([*asked(lab.control_plane.audit_log)])
    for name in lab.components.names:
        lab.components.restart(name)
    return before


def test_every_right_is_used_and_nothing_is_refused(lab, asked_before, go, touched):
    assert "the API server lets the agent do what it must" in checked(lab)
    touch, stop = touched
    first = go()
    touch(first)
    first.passes(1)
    stop()
    assert first.ends().status.phase == Phase.SUCCEEDED
    passing = go(ttlAfterFinished="1s")
    until("ttlAfterFinished", lambda: not passing.exists(), timeout=PATIENCE)
    for account, file in ROLES.items():
        rights = given(MANIFESTS / "base" / file)
        try:
            until(
                f"{account} to use every right",
                lambda account=account, rights=rights: rights <= used(lab, account),
                timeout=PATIENCE,
            )
        except TimeoutError:
            pytest.fail(f"{account} has not used {sorted(rights - used(lab, account))}")
        assert used(lab, account) == rights
    assert not refused(lab.control_plane.audit_log, since=asked_before)
