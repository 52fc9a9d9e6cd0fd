"""Each test uninstalls vmferry from a lab of its own, and looks for what is left."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from asked_migration import NAMESPACE, Migration
from kubernetes import client, config
from plugin_runs import run_in_pipe

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from vmferry_lab.controlplane.kubeconfigs import NO_PROXY, client_environment
from vmferry_lab.fixtures import new_lab
from vmferry_lab.kubectl import KubectlError
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


_LET_GO = ("delete", "pod", "-n", "vmferry-system", "--force", "--grace-period=0", "--ignore-not-found")
_PAGE = "docs/upgrades.md"
_DOCUMENTED = [
    each
    for each in blocks(_PAGE, (ROOT / _PAGE).read_text())
    if each.test == "tests/e2e/uninstall/test_uninstall.py"
]


@pytest.fixture
def migrate(api: client.CustomObjectsApi) -> Callable[..., Migration]:
    """Creates a VMMigration from node-a to node-b, which goes with the rest."""

    def create(vm: str, **spec: object) -> Migration:
        route = {"vm": vm, "sourceNode": "node-a", "targetNode": "node-b"}
        body = {"apiVersion": "vmferry.io/v1alpha1", "kind": "VMMigration", "spec": {**route, **spec}}
        body["metadata"] = {"generateName": "migration-"}
        made = api.create_namespaced_custom_object("vmferry.io", "v1alpha1", NAMESPACE, "vmmigrations", body)
        return Migration(made["metadata"]["name"], api)

    return create


@dataclass(frozen=True)
class Installation:
    """vmferry as it is installed in a lab."""

    lab: Lab

    def uninstall(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl vmferry uninstall` with these options."""
        done = run_in_pipe(self.lab, "uninstall", *words)
        for name in self.lab.components.names:  # they bear it that their API is gone
            assert "Traceback" not in self.lab.components.log(name).read_text()
        return done

    def as_documented(self, number: int, **names: str) -> str:
        """What the commands print that docs/upgrades.md tells to type for this, with its placeholders replaced."""
        block = _DOCUMENTED[number]
        text = "\n".join(each.text for each in commands(block))
        for placeholder, name in names.items():
            text = re.sub(rf"\b{placeholder}\b", name, text)
        given = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
        with self._kubelet():
            done = subprocess.run(
                ["bash", "-ec", text],
                cwd=ROOT,
                env=client_environment(self.lab.kubectl.kubeconfig, given),
                capture_output=True,
                text=True,
                timeout=2 * PATIENCE,
                check=False,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def delete_manifests(self, *words: str) -> None:
        """Delete what was applied."""
        with self._kubelet():
            self.lab.kubectl.run("delete", "--ignore-not-found", *words, "-k", str(MANIFESTS / "base"))

    @contextmanager
    def _kubelet(self) -> Iterator[None]:
        """Let Pods go that are deleted, as a kubelet does, which none of the lab's hosts has."""
        over = threading.Event()

        def let_go() -> None:
            while not over.wait(0.5):
                with suppress(KubectlError):
                    for name in self._deleted_pods():
                        self.lab.kubectl.run(*_LET_GO, name)

        thread = threading.Thread(target=let_go)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _deleted_pods(self) -> list[str]:
        found = json.loads(self.lab.kubectl.run("get", "pods", "-n", "vmferry-system", "-o", "json"))["items"]
        return [each["metadata"]["name"] for each in found if "deletionTimestamp" in each["metadata"]]

    def is_gone(self) -> None:
        """Assert that no object of the cluster is vmferry's or names it; Events of the past are kept."""
        with self._kubelet():
            until("the namespace to be gone", lambda: not self._objects("namespaces"), timeout=PATIENCE)
        kinds = self.lab.kubectl.run("api-resources", "--verbs=list", "-o", "name").split()
        assert not [each for each in kinds if each.endswith("vmferry.io")]
        assert self._objects(",".join(each for each in kinds if not each.startswith("events"))) == []

    def _objects(self, kinds: str) -> list[str]:
        found = json.loads(self.lab.kubectl.run("get", kinds, "-A", "-o", "json"))["items"]
        return [
            f"{each['kind']}/{each['metadata']['name']}" for each in found if "vmferry" in json.dumps(each)
        ]


@pytest.fixture
def installation(lab: Lab) -> Installation:
    """What is to be removed."""
    return Installation(lab)
