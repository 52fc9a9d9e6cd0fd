"""All of manifests/ as a real API server takes it, and what Pod Security has against the pods."""

import json
import subprocess

import pytest
import yaml

from generate_chart import MANIFESTS, NAMESPACE, composed, kustomized
from vmferry_lab.helm import find_or_build_helm
from vmferry_lab.kubectl import Kubectl, KubectlError
from vmferry_lab.until import until

STRICTLY = ["--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server"]
OVERLAYS = sorted(each.parent.name for each in MANIFESTS.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(each.parent.name for each in MANIFESTS.glob("components/*/kustomization.yaml"))
OPERATOR_S = "monitoring.coreos.com/v1"
"""Kinds of the Prometheus Operator, which this API server does not have."""


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


def applied(kubectl, objects):
    known = [each for each in objects if each["apiVersion"] != OPERATOR_S]
    return kubectl.run("apply", *STRICTLY, "-f", "-", stdin=yaml.safe_dump_all(known)).splitlines()


@pytest.mark.parametrize(
    "directory", ["base", "policies", "monitoring", *(f"overlays/{x}" for x in OVERLAYS)]
)
def test_the_api_server_takes_all_of_a_kustomization_strictly(kubectl, directory):
    objects = kustomized(MANIFESTS / directory)
    assert len(applied(kubectl, objects)) > 1


@pytest.mark.parametrize("below", ["base", *(f"overlays/{x}" for x in OVERLAYS)])
def test_base_and_overlays_go_with_all_components_at_once(kubectl, below):
    alone, with_all = kustomized(MANIFESTS / below), composed(below, *COMPONENTS)
    assert with_all != alone
    assert len(applied(kubectl, with_all)) >= len(applied(kubectl, alone))


@pytest.mark.parametrize("namespace", [NAMESPACE, "default"])
def test_the_api_server_takes_all_of_the_chart_strictly(kubectl, namespace):
    values = [
        "--set",
        "monitoring.enabled=true,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
    ]
    words = [str(find_or_build_helm(print)), "template", "vmferry", str(MANIFESTS / "chart"), "-n", namespace]
    done = subprocess.run([*words, *values], capture_output=True, text=True, check=True, timeout=60)
    assert len(applied(kubectl, [each for each in yaml.safe_load_all(done.stdout) if each])) > 1


@pytest.fixture(scope="module")
def namespaces(control_plane):
    """One that enforces each level of Pod Security, by the level's name."""
    kubectl = Kubectl(control_plane.kubeconfig())
    levels = ("restricted", "baseline", "privileged")
    for level in levels:
        labels = {"pod-security.kubernetes.io/enforce": level}
        about = {"name": f"allows-{level}", "labels": labels}
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
    accounts = [f"allows-{level}" for level in levels]
    until(
        "their accounts",
        lambda: all(
            kubectl.run("get", "sa", "default", "-n", each, "--ignore-not-found") for each in accounts
        ),
        timeout=30,
    )
    yield dict(zip(levels, accounts, strict=True))
    kubectl.run("delete", "namespace", *accounts, "--wait=false")


def refusal(kubectl, kind, namespace):
    """What the API server has against a pod of a workload in a namespace; None: nothing."""
    (workload,) = (each for each in kustomized(MANIFESTS / "base") if each["kind"] == kind)
    template = workload["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    metadata = {**template["metadata"], "name": "dry-run", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    try:
        kubectl.run("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(pod))
    except KubectlError as error:
        return str(error)
    return None


@pytest.mark.parametrize("level", ["restricted", "privileged"])
def test_pod_security_has_nothing_against_the_operator(kubectl, namespaces, level):
    assert refusal(kubectl, "Deployment", namespaces[level]) is None


def test_pod_security_has_nothing_against_the_agent_but_its_directories_of_the_host(kubectl, namespaces):
    said = refusal(kubectl, "DaemonSet", namespaces["restricted"])
    assert said is not None
    assert said.partition('violates PodSecurity "restricted:latest": ')[2] == (
        'restricted volume types (volumes "libvirt", "pki" use restricted volume type "hostPath")'
    )
    assert "hostPath volumes" in (refusal(kubectl, "DaemonSet", namespaces["baseline"]) or "")
    assert refusal(kubectl, "DaemonSet", namespaces["privileged"]) is None


def test_the_namespace_allows_what_the_agent_needs(kubectl):
    labels = json.loads(kubectl.run("get", "namespace", NAMESPACE, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
