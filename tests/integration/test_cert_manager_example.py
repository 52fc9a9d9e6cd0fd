"""The example for cert-manager, as a real API server takes it with cert-manager's own API."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from doc_pages.shell import Shell
from doc_pages.shown import missing
from vmferry_lab.cache import cache_directory
from vmferry_lab.controlplane.binaries.go import go_program
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import Kubectl, kubectl_path

EXAMPLE = ROOT / "manifests" / "examples" / "cert-manager"
NAMESPACE = "libvirt-certificates"
PAGE = "docs/transport.md"
(BLOCK,) = (
    each
    for each in blocks(PAGE, (ROOT / PAGE).read_text())
    if each.test == "tests/integration/test_cert_manager_example.py"
)
MODULE = "github.com/cert-manager/cert-manager@v1.19.1"
"""Has its CRDs as they are shipped; Go's checksum database vouches for it."""
KINDS = ("certificates", "issuers")
STRICTLY = ["--server-side", "--validate=strict"]


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


@pytest.fixture
def with_cert_manager(kubectl):
    """The API server knows cert-manager's API, and the example's namespace."""
    go = go_program(cache_directory(), lambda _: None)
    said = subprocess.run(
        [go, "mod", "download", "-json", MODULE], capture_output=True, text=True, check=True, timeout=240
    ).stdout
    definitions = Path(json.loads(said)["Dir"]) / "deploy" / "crds"
    files = [f"--filename={definitions / f'cert-manager.io_{kind}.yaml'}" for kind in KINDS]
    kubectl.run("apply", *STRICTLY, *files, "--filename", str(EXAMPLE / "namespace.yaml"))
    kubectl.run("wait", "--for=condition=Established", *files)
    yield
    kubectl.run("delete", *files)


def test_the_api_server_takes_it_strictly(kubectl, with_cert_manager):
    taken = kubectl.run("apply", *STRICTLY, "--dry-run=server", "-k", str(EXAMPLE))
    for each in ("issuer.cert-manager.io/libvirt", "certificate.cert-manager.io/libvirt-node-a"):
        assert f"{each} serverside-applied (server dry run)" in taken


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
READY = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}]}}


def test_what_the_page_tells_to_type_waits_for_the_authority_and_may_be_typed_again(
    kubectl, with_cert_manager, tmp_path
):
    """cert-manager, which is not there, issues the authority some time after it was asked for."""
    apply, wait, *into_a_file = commands(BLOCK)
    (tmp_path / "manifests").symlink_to(ROOT / "manifests")
    notes = tmp_path / "notes"
    notes.mkdir()
    programs = {**os.environ, "PATH": f"{kubectl_path().parent}:{os.environ['PATH']}"}
    with Shell(tmp_path, notes, client_environment(kubectl.kubeconfig, programs)) as shell:
        assert shell.run(apply.text)[0] == 0
        assert shell.run(wait.text.replace("5m", "1s"))[0] == 1
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "authority", "namespace": NAMESPACE},
                "stringData": {"tls.crt": CERTIFICATE},
            }
        )
        ready = ("patch", "certificate", "authority", "-n", NAMESPACE, "--subresource=status", "--type=merge")
        kubectl.run(*ready, "-p", json.dumps(READY))
        for command in (wait, *into_a_file):
            code, said = shell.run(command.text)
            assert code == 0, said
            assert missing(command.shown, said) is None, said
        for command in into_a_file:
            assert shell.run(command.text)[0] == 0
    given = kubectl.get("configmap", "libvirt-authorities", namespace=NAMESPACE)
    assert given["data"] == {"authorities.pem": CERTIFICATE}
    kubectl.run("delete", "-k", str(EXAMPLE))


def test_hosts_differ_in_name_and_address_alone():
    one, other = ((EXAMPLE / f"node-{name}.yaml").read_text() for name in "ab")
    assert one.replace("node-a", "node-b").replace("192.0.2.11", "192.0.2.12") == other
