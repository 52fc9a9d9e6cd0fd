"""kubectl finds the plugin, runs it, and completes its words."""

import subprocess
import sys

import pytest

from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import Kubectl, kubectl_path

PROGRAMS = {
    "kubectl-vmferry": "from kubectl_vmferry.main import main; main()",
    "kubectl_complete-vmferry": "from kubectl_vmferry.completion import kubectl_complete; kubectl_complete()",
}
"""As [project.scripts] has them."""


@pytest.fixture
def kubectl(control_plane, tmp_path):
    """Runs kubectl with the plugin on its PATH; what it prints."""
    for name, code in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        program.chmod(0o755)
    environment = client_environment(control_plane.kubeconfig())
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"

    def run(*words):
        done = subprocess.run(
            [str(kubectl_path()), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_kubectl_runs_the_plugin_under_its_own_name(kubectl):
    code, said = kubectl("vmferry", "watch", "--help")
    assert code == 0
    assert "Usage: kubectl vmferry watch [OPTIONS] [NAMES]..." in said


def test_the_exit_code_comes_through_kubectl(kubectl):
    assert kubectl("vmferry", "watch", "nothing")[0] == 1
    assert kubectl("vmferry", "watch", "--nothing")[0] == 2


def test_kubectl_completes_commands_and_names_of_the_cluster(kubectl, migration):
    name = migration["metadata"]["name"]
    assert "watch" in [
        line.partition("\t")[0] for line in kubectl("__complete", "vmferry", "")[1].splitlines()
    ]
    code, said = kubectl("__complete", "vmferry", "describe", name[:-1])
    assert code == 0
    assert name in said.splitlines()
    presets = kubectl("__complete", "vmferry", "migrate", "vm", "--policy", "bal")[1].splitlines()
    assert "balanced" in presets


@pytest.fixture
def nodes(control_plane):
    """Two Nodes, for the time of a test."""
    names = ["node-a", "node-b"]
    as_administrator = Kubectl(control_plane.kubeconfig())
    as_administrator.apply(
        *({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names)
    )
    yield names
    as_administrator.run("delete", "node", *names)


@pytest.mark.usefixtures("nodes")
def test_migrations_are_named_by_their_vm_and_numbered_where_that_name_is_taken(kubectl):
    words = ("vmferry", "migrate", "DB 7", "--from", "node-a", "--to", "node-b", "-o", "name")
    assert kubectl(*words) == (0, "vmmigration.vmferry.io/db-7-to-node-b\n")
    code, said = kubectl(*words)
    assert (code, said.splitlines()) == (
        0,
        [
            "vmmigration.vmferry.io/db-7-to-node-b-2",
            "warning: default/db-7-to-node-b (New) migrates DB 7 from node-a to node-b already",
        ],
    )
    named = kubectl(*words, "--name", "db-7-to-node-b")
    assert (named[0], "already exists; choose another --name" in named[1]) == (1, True)
    code, said = kubectl("vmferry", "cancel", "db-7-to-node-b", "db-7-to-node-b-2")
    assert (code, said.count("is being cancelled")) == (0, 2)
    assert kubectl("delete", "vmmig", "db-7-to-node-b", "db-7-to-node-b-2")[0] == 0


@pytest.mark.usefixtures("nodes")
def test_a_dry_run_is_judged_by_the_api_server_and_creates_nothing(kubectl):
    words = ("vmferry", "migrate", "db-8", "--from", "node-a", "--to", "node-b", "--dry-run")
    assert kubectl(*words) == (
        0,
        "vmmigration.vmferry.io/db-8-to-node-b would be created (checked by the API server)\n",
    )
    code, said = kubectl(*words, "--ttl", "9y")
    assert (code, "ttlAfterFinished must be a duration such as 24h" in said) == (1, True)
    assert kubectl("get", "vmmig", "db-8-to-node-b")[0] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("watch",),
        ("describe", "x"),
        ("explain", "x"),
        ("cancel", "x"),
    ],
)
def test_a_namespace_that_there_is_not_is_named(kubectl, words):
    code, said = kubectl("vmferry", *words, "-n", "nope")
    assert (code, "namespace nope does not exist; look at -n" in said) == (1, True), said
