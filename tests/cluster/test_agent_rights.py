"""What the token that lies in an agent's pod can do: nothing that is not its node's part."""

import pytest

from token_claims import lifetime
from vmferry_lab.kubectl import Kubectl, KubectlError

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

TAKEN = '{"spec":{"holderIdentity":"me"}}'


@pytest.fixture
def stolen(cluster, lab, tmp_path):
    """Kubectl with the token of node-a's agent, as somebody who has broken into it would use it."""
    token = cluster.agent("node-a").run("cat", TOKEN)
    kubeconfig = tmp_path / "stolen"
    words = ["--kubeconfig", str(kubeconfig)]
    authority = f"--certificate-authority={lab.control_plane.authority}"
    lab.kubectl.run("config", "set-cluster", "it", f"--server={lab.control_plane.url}", authority, *words)
    lab.kubectl.run("config", "set-credentials", "it", f"--token={token}", *words)
    lab.kubectl.run("config", "set-context", "it", "--cluster=it", "--user=it", *words)
    lab.kubectl.run("config", "use-context", "it", *words)
    return Kubectl(kubeconfig)


def test_a_token_holds_for_an_hour_and_only_the_pod_s_user_reads_it(cluster):
    for pod in (cluster.agent("node-a"), *cluster.pods("operator")):
        assert 0 < lifetime(pod.run("cat", TOKEN)) <= 3600
        assert pod.run("stat", "-L", "-c", "%a %u", TOKEN).strip() == "600 65534"


def test_it_is_bound_to_the_pod_and_to_the_node(cluster, stolen):
    told = stolen.run("auth", "whoami")
    assert cluster.agent("node-a").name in told
    assert "node-a" in told


@pytest.mark.parametrize(
    "words",
    [
        ("get", "secrets", "-n", "vmferry-system"),
        ("get", "pods", "-n", "vmferry-system"),
        ("get", "nodes"),
        ("get", "migrationpolicies"),
        ("create", "token", "vmferry-operator", "-n", "vmferry-system"),
        ("patch", "lease", "vmferry-agent-node-b", "-n", "vmferry-system", "-p", TAKEN),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_it_is_refused(stolen, words):
    with pytest.raises(KubectlError, match=r"(?i)forbidden"):
        stolen.run(*words)


def test_it_changes_no_migration_but_its_own_part(stolen, under_way):
    moving = under_way()
    name = moving.migration.name
    for patch in (
        '{"spec":{"cancel":true}}',
        '{"metadata":{"labels":{"mine":"yes"}}}',
    ):
        with pytest.raises(KubectlError, match=r"(?i)forbidden"):
            stolen.run("patch", "vmmig", name, "--type=merge", "-p", patch)
    for patch in (
        '{"status":{"desired":{"state":"Cancelled"}}}',
        '{"status":{"target":{"message":"mine"}}}',
    ):
        with pytest.raises(KubectlError):
            stolen.run("patch", "vmmig", name, "--subresource=status", "--type=merge", "-p", patch)
    moving.arrives_in_one_attempt()
