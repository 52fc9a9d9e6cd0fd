"""All of manifests/ as a real API server takes it."""

from pathlib import Path

import pytest

from vmferry_lab.kubectl import Kubectl

MANIFESTS = Path(__file__).parents[2] / "manifests"
STRICTLY = ["--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server"]


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


@pytest.mark.parametrize("directory", ["base", "policies"])
def test_the_api_server_takes_all_strictly(kubectl, directory):
    kubectl.run("apply", *STRICTLY, "-k", str(MANIFESTS / directory))
