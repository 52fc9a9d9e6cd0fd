"""The example for cert-manager, as a real API server takes it with cert-manager's own API."""

import json
import subprocess
from pathlib import Path

import pytest

from vmferry_lab.cache import cache_directory
from vmferry_lab.controlplane.binaries.go import go_program
from vmferry_lab.kubectl import Kubectl

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "cert-manager"
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


def test_hosts_differ_in_name_and_address_alone():
    one, other = ((EXAMPLE / f"node-{name}.yaml").read_text() for name in "ab")
    assert one.replace("node-a", "node-b").replace("192.0.2.11", "192.0.2.12") == other
