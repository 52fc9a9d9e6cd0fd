"""Tokens of vmferry's pods hold for an hour. One that is mounted by itself holds for a year."""

import pytest

from generate_chart import MANIFESTS, NAMESPACE, kustomized
from token_claims import lifetime
from vmferry_lab.kubectl import Kubectl, KubectlError

HOUR = 3600
WORKLOADS = ("Deployment", "DaemonSet")


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


@pytest.fixture(params=WORKLOADS)
def pod(request, kubectl):
    """One of a workload of the base, as the API server has it; no kubelet runs it."""
    (workload,) = (each for each in kustomized(MANIFESTS / "base") if each["kind"] == request.param)
    template = workload["spec"]["template"]
    name = f"lifetime-{request.param.lower()}"
    about = {**template["metadata"], "name": name, "namespace": NAMESPACE}
    spec = {**template["spec"], "nodeName": "node-l", "terminationGracePeriodSeconds": 0}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})
    yield kubectl.get("pod", name, namespace=NAMESPACE)
    kubectl.run("delete", "pod", name, "-n", NAMESPACE, "--grace-period=0", "--force")


def sources(pod):
    """Of its projected volumes."""
    return [
        source
        for each in pod["spec"]["volumes"]
        if "projected" in each
        for source in each["projected"]["sources"]
    ]


def test_what_the_kubelet_asks_for_holds_for_an_hour(kubectl, pod):
    (asked,) = (each["serviceAccountToken"] for each in sources(pod) if "serviceAccountToken" in each)
    bound = [f"--bound-object-{kind}={pod['metadata'][kind]}" for kind in ("name", "uid")]
    account = pod["spec"]["serviceAccountName"]
    token = kubectl.run(
        *("create", "token", account, "-n", NAMESPACE, "--bound-object-kind=Pod", *bound),
        f"--duration={asked['expirationSeconds']}s",
    )
    assert lifetime(token) <= HOUR


def test_a_kubelet_may_ask_for_a_longer_one_for_its_own_pods_alone(kubectl, pod):
    bound = [f"--bound-object-{kind}={pod['metadata'][kind]}" for kind in ("name", "uid")]
    asked = ["create", "token", pod["spec"]["serviceAccountName"], "-n", NAMESPACE, "--duration=48h"]

    def given(node):
        words = [f"--as=system:node:{node}", "--as-group=system:nodes", "--as-group=system:authenticated"]
        return kubectl.run(*asked, "--bound-object-kind=Pod", *bound, *words)

    assert lifetime(given("node-l")) == 48 * HOUR
    with pytest.raises(KubectlError, match="no relationship found between node"):
        given("node-other")


def test_what_the_kubelet_mounts_is_there(kubectl, pod):
    (name,) = (each["configMap"]["name"] for each in sources(pod) if "configMap" in each)
    assert name == "kube-root-ca.crt"  # which each namespace gets from the controller manager
    mounts = [each["mountPath"] for each in pod["spec"]["containers"][0]["volumeMounts"]]
    assert mounts.count("/var/run/secrets/kubernetes.io/serviceaccount") == 1
