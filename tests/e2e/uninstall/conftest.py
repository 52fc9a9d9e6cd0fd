"""Each test uninstalls vmferry from a lab of its own, and looks for what is left."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from kubernetes import client, config
from plugin_runs import run_in_pipe

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from vmferry_lab.controlplane.kubeconfigs import NO_PROXY, client_environment
from vmferry_lab.fixtures import new_lab
from vmferry_lab.lab import MANIFESTS, Lab
from vmferry_lab.until import until

PATIENCE = 90.0
"""Seconds; generous, because the machine may be slow."""


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """With vmferry, two hosts, and what a release applies."""
    with new_lab() as new:
        new.up(say=lambda _: None)
        environment = client_environment(new.kubectl.kubeconfig)
        for name in NO_PROXY:
            monkeypatch.setenv(name, environment[name])
        yield new


@pytest.fixture
def api(lab: Lab) -> Iterator[client.CustomObjectsApi]:
    """The API server, as its administrator."""
    connection = config.new_client_from_config(str(lab.kubectl.kubeconfig))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture
def policy(api: client.CustomObjectsApi) -> Callable[..., str]:
    """Creates a policy, which goes with the rest."""

    def create(**spec: object) -> str:
        body = {"apiVersion": "vmferry.io/v1alpha1", "kind": "MigrationPolicy", "spec": spec}
        body["metadata"] = {"generateName": "policy-"}
        made = api.create_cluster_custom_object("vmferry.io", "v1alpha1", "migrationpolicies", body)
        return made["metadata"]["name"]

    return create


_AS_THE_KUBELET = ("delete", "pods", "--all", "--namespace=vmferry-system", "--force", "--grace-period=0")
"""No kubelet runs in the lab, which would tell that a Pod has ended."""
_PAGE = "docs/upgrades.md"
_DOCUMENTED = [
    each
    for each in blocks(_PAGE, (ROOT / _PAGE).read_text())
    if each.test == "tests/e2e/uninstall/test_uninstall.py"
]


@dataclass(frozen=True)
class Installation:
    """vmferry as it is installed in a lab."""

    lab: Lab

    def uninstall(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl vmferry uninstall` with these options."""
        return run_in_pipe(self.lab, "uninstall", *words)

    def as_documented(self, number: int, **names: str) -> str:
        """What the commands print that docs/upgrades.md tells to type for this, with its placeholders replaced."""
        block = _DOCUMENTED[number]
        text = "\n".join(each.text for each in commands(block))
        for placeholder, name in names.items():
            text = re.sub(rf"\b{placeholder}\b", name, text)
        given = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-ec", text],
            cwd=ROOT,
            env=client_environment(self.lab.kubectl.kubeconfig, given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def delete_manifests(self, *words: str) -> None:
        """Delete what was applied."""
        self.lab.kubectl.run("delete", "--ignore-not-found", *words, "-k", str(MANIFESTS / "base"))

    def is_gone(self) -> None:
        """Assert that no object of the cluster is vmferry's or names it; Events of the past are kept."""
        self.lab.kubectl.run(*_AS_THE_KUBELET)
        until("the namespace to be gone", lambda: not self._objects("namespaces"), timeout=PATIENCE)
        kinds = self.lab.kubectl.run("api-resources", "--verbs=list", "-o", "name").split()
        assert not [each for each in kinds if each.endswith("vmferry.io")]
        left = [each for kind in kinds if not kind.startswith("events") for each in self._objects(kind)]
        assert left == []

    def _objects(self, kind: str) -> list[str]:
        found = json.loads(self.lab.kubectl.run("get", kind, "-A", "-o", "json"))["items"]
        return [f"{kind}/{each['metadata']['name']}" for each in found if "vmferry" in json.dumps(each)]


@pytest.fixture
def installation(lab: Lab) -> Installation:
    """What is to be removed."""
    return Installation(lab)
