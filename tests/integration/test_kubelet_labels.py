"""Labels that a kubelet may write choose neither who gets a host's key nor, where that is wanted, an agent."""

import os
import subprocess

import pytest
import yaml

from doc_pages import ROOT
from generate_chart import MANIFESTS, kustomized
from vmferry_lab.helm import find_or_build_helm
from vmferry_lab.kubectl import Kubectl, KubectlError

RESTRICTED = {"node-restriction.kubernetes.io/vmferry-libvirt-host": "true"}
KUBELET = ("--as=system:node:node-k", "--as-group=system:nodes", "--as-group=system:authenticated")


@pytest.fixture(scope="module")
def kubectl(control_plane):
    """Of a cluster with two nodes, for which no kubelet runs."""
    kubectl = Kubectl(control_plane.kubeconfig())
    nodes = ["node-k", "node-l"]
    kubectl.apply(*({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in nodes))
    yield kubectl
    kubectl.run("delete", "node", *nodes)


def label(kubectl, node, labels):
    words = (f"{name}={value}" for name, value in labels.items())
    kubectl.run("label", "--overwrite", "node", node, *words, *KUBELET)


def pods(objects):
    return [
        each["spec"]["template"]["spec"] for each in objects if each["kind"] in ("Deployment", "DaemonSet")
    ]


def page_s(start):
    """The one block of docs/security.md on these labels that begins so."""
    blocks = (ROOT / "docs" / "security.md").read_text().split("```yaml\n")[1:]
    (found,) = (x.split("```")[0] for x in blocks if x.startswith(start) and next(iter(RESTRICTED)) in x)
    return found


@pytest.mark.parametrize("name", ["kubernetes.io/hostname", "vmferry.io/libvirt-host"])
def test_a_kubelet_takes_on_another_host_s_label_and_that_of_libvirt_hosts(kubectl, name):
    label(kubectl, "node-k", {name: "node-l"})
    assert kubectl.get("node", "node-k")["metadata"]["labels"][name] == "node-l"
    with pytest.raises(KubectlError, match=r"(?i)forbidden"):
        label(kubectl, "node-l", {name: "node-k"})


def test_the_restricted_label_is_refused_to_it(kubectl):
    with pytest.raises(KubectlError, match="is not allowed to modify labels: node-restriction"):
        label(kubectl, "node-k", RESTRICTED)


def test_the_example_sends_a_host_s_key_to_the_node_s_name():
    hosts = pods(kustomized(MANIFESTS / "examples" / "cert-manager"))
    chosen = [
        pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        for pod in hosts
    ]
    assert chosen == [
        [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [f"node-{x}"]}]}] for x in "ab"
    ]
    secrets = [each["secret"]["secretName"] for pod in hosts for each in pod["volumes"] if "secret" in each]
    assert secrets == ["libvirt-node-a", "libvirt-node-b"]
    assert not any("nodeSelector" in pod for pod in hosts)


def test_the_page_s_patch_chooses_agents_nodes_by_the_restricted_label(tmp_path):
    base = os.path.relpath(MANIFESTS / "base", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\n{page_s('patches:')}")
    agents = [each for each in kustomized(tmp_path) if each["kind"] == "DaemonSet"]
    assert [each["nodeSelector"] for each in pods(agents)] == [RESTRICTED]


def test_the_page_s_values_do_so_too(tmp_path):
    (tmp_path / "values.yaml").write_text(page_s("agent:"))
    words = [str(find_or_build_helm(print)), "template", "vmferry", str(MANIFESTS / "chart")]
    done = subprocess.run(
        [*words, "--values", str(tmp_path / "values.yaml")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    agents = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "DaemonSet"]
    assert [each["nodeSelector"] for each in pods(agents)] == [RESTRICTED]
