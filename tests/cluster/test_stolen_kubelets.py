"""What root on one node can have come to it by its kubelet's credentials."""

import json

import pytest
import yaml

from generate_chart import MANIFESTS
from vmferry_lab.until import until

EXAMPLE = MANIFESTS / "examples" / "cert-manager"
NAMESPACE = "libvirt-certificates"
HOSTNAME = "kubernetes.io/hostname"
STOLEN = ("--as=system:node:node-b", "--as-group=system:nodes", "--as-group=system:authenticated")
PATIENCE = 60


@pytest.fixture
def label(lab, cluster):
    """Labels a node; in the end each has its own name again."""

    def write(node, name, *words):
        lab.kubectl.run("label", "--overwrite", "node", node, f"{HOSTNAME}={name}", *words)

    yield write
    for node in cluster.nodes:
        write(node.name, node.name)


@pytest.fixture
def deployed(lab):
    """The example's Deployment for node-a, without the Secret that its pod waits for."""
    lab.kubectl.run("apply", "-f", str(EXAMPLE / "namespace.yaml"))
    (deployment,) = (
        each
        for each in yaml.safe_load_all((EXAMPLE / "node-a.yaml").read_text())
        if each["kind"] == "Deployment"
    )

    def deploy():
        lab.kubectl.run("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(deployment))

    yield deploy
    lab.kubectl.run("delete", "namespace", NAMESPACE)


def test_a_host_s_key_does_not_come_to_a_node_that_takes_on_its_label(lab, label, deployed):
    label("node-a", "another")
    label("node-b", "node-a", *STOLEN)
    deployed()

    def node():
        pods = json.loads(lab.kubectl.run("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        return next((each["spec"].get("nodeName") for each in pods), None)

    until("its pod to have a node", lambda: node() is not None, timeout=PATIENCE)
    assert node() == "node-a"
