"""The lab's control plane behaves as a cluster's; several come and go without getting in each other's way."""

import json
import signal
import socket
from dataclasses import replace

import pytest

from vmferry_lab import lab as lab_module
from vmferry_lab import processes
from vmferry_lab.controlplane import control_plane as control_plane_module
from vmferry_lab.controlplane.binaries import find_or_build
from vmferry_lab.controlplane.commands import APISERVER, NAMES
from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_lab.errors import LabError
from vmferry_lab.kubectl import Kubectl, KubectlError
from vmferry_lab.lab import Lab
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

PATIENCE = 30.0


def quiet(_text):
    pass


@pytest.fixture
def other(tmp_path):
    """A directory for another control plane; it is down after the test."""
    lab = Lab(tmp_path / "other")
    yield lab
    lab.down()


def test_two_at_once_are_apart_and_going_leaves_nothing(control_plane, other):
    other.up_control_plane(say=quiet)
    other.kubectl.run("create", "namespace", "only-here")
    assert "only-here" not in Kubectl(control_plane.kubeconfig()).run("get", "namespaces")
    assert processes.components_of(other.directory) == set(NAMES)
    other.down()
    assert processes.of_lab(other.directory) == []
    assert not other.directory.exists()


def test_ports_that_are_taken_meanwhile_are_given_up(other, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tries = [
            (free_ports(2), [port]),
            ([port, *free_ports(1)], free_ports(1)),
            (free_ports(2), free_ports(1)),
        ]
        answers = iter([ports for each in tries for ports in each])  # etcd's, then the API server's
        monkeypatch.setattr(control_plane_module, "free_ports", lambda *_: next(answers))
        other.up_control_plane(say=quiet)
    assert other.kubectl.run("get", "--raw", "/readyz") == "ok"


def test_a_server_that_ends_is_named_with_what_it_said(other, monkeypatch, tmp_path):
    etcd = tmp_path / "etcd"
    etcd.write_text("#!/bin/sh\necho out of luck\nexit 1\n")
    etcd.chmod(0o755)
    real = find_or_build(quiet)
    monkeypatch.setattr(lab_module, "find_or_build", lambda _say: replace(real, etcd=etcd))
    with pytest.raises(LabError, match="etcd has ended:\nout of luck"):
        other.up_control_plane(say=quiet)
    assert processes.of_lab(other.directory) == []


def test_an_api_server_that_was_away_comes_back_with_what_it_had(other):
    other.up_control_plane(say=quiet)
    other.kubectl.run("create", "namespace", "kept")
    for away in ([APISERVER], NAMES):
        other.control_plane.stop(away, how=signal.SIGKILL)
        assert not processes.components_of(other.directory) & set(away)
        with pytest.raises(KubectlError, match="refused"):
            other.kubectl.get("namespace", "kept")
        assert other.control_plane.start_missing() == list(away)
        assert other.kubectl.get("namespace", "kept")
    assert other.control_plane.start_missing() == []


def who_is(kubeconfig):
    review = json.loads(Kubectl(kubeconfig).run("auth", "whoami", "-o", "json"))
    return review["status"]["userInfo"]


def test_the_operator_is_called_as_its_service_account(control_plane):
    who = who_is(control_plane.kubeconfig(OPERATOR))
    assert who["username"] == "system:serviceaccount:vmferry-system:vmferry-operator"
    assert "system:serviceaccounts:vmferry-system" in who["groups"]


def test_an_agent_has_a_token_that_is_bound_to_a_pod_on_its_node(control_plane):
    who = who_is(control_plane.agent_kubeconfig("node-x"))
    assert who["username"] == "system:serviceaccount:vmferry-system:vmferry-agent"
    assert who["extra"]["authentication.kubernetes.io/node-name"] == ["node-x"]
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["vmferry-agent-node-x"]


def test_namespaces_get_their_accounts_and_go_when_deleted(control_plane):
    kubectl = Kubectl(control_plane.kubeconfig())
    kubectl.run("create", "namespace", "short-lived")
    until(
        "its account", lambda: exists(kubectl, "serviceaccount", "default", "short-lived"), timeout=PATIENCE
    )
    kubectl.run("delete", "namespace", "short-lived", "--wait=false")
    until("it to go", lambda: not exists(kubectl, "namespace", "short-lived"), timeout=PATIENCE)


def test_what_an_owner_leaves_is_collected(control_plane):
    kubectl = Kubectl(control_plane.kubeconfig())
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    kubectl.apply(owner)
    uid = kubectl.get("configmap", "owner")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    kubectl.apply({**owner, "metadata": {"name": "owned", "ownerReferences": [reference]}})
    kubectl.run("delete", "configmap", "owner")
    until("what it owned to go", lambda: not exists(kubectl, "configmap", "owned"), timeout=PATIENCE)


def exists(kubectl, kind, name, namespace="default"):
    try:
        return kubectl.get(kind, name, namespace=namespace)
    except KubectlError as error:
        if "NotFound" not in str(error):
            raise
        return None
