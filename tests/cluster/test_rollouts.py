"""Operator and agents are exchanged in mid-migration, as Kubernetes does it; the migration goes on."""

import pytest

from vmferry_lab.cluster.cluster import AGENT, NAMESPACE
from vmferry_lab.cluster.images import write_next
from vmferry_lab.cluster.pods import archive_of
from vmferry_lab.kubectl import KubectlError
from vmferry_lab.until import until


@pytest.fixture
def next_agent(hurt_cluster, tmp_path):
    """An image of the agent that no node has run yet; afterwards the agents are as they were."""
    archive = tmp_path / "next.tar"
    name = write_next(archive_of("agent"), archive, "next")
    hurt_cluster.load(archive)
    yield name
    hurt_cluster.kubectl.run("-n", NAMESPACE, "rollout", "undo", AGENT)
    hurt_cluster.wait_components()


def test_new_agents_adopt_the_migration_that_runs(hurt_cluster, under_way, next_agent):
    before = {pod.name for pod in hurt_cluster.pods("agent")}
    moving = under_way()
    hurt_cluster.kubectl.run("-n", NAMESPACE, "set", "image", AGENT, f"agent={next_agent}")
    hurt_cluster.wait_components()
    agents = [hurt_cluster.agent(node) for node in ("node-a", "node-b")]
    assert before.isdisjoint(pod.name for pod in agents)
    assert {pod.image for pod in agents} == {next_agent}
    moving.gets_on()
    moving.arrives_in_one_attempt()


@pytest.mark.parametrize("kill", [False, True], ids=["asked to end", "killed"])
def test_operators_that_end_in_mid_migration_are_replaced(hurt_cluster, under_way, kill):
    before = {pod.name for pod in hurt_cluster.pods("operator")}
    moving = under_way(steps=[{"after": {"passes": 6}, "setMaxDowntime": "200ms"}])
    for pod in hurt_cluster.pods("operator"):
        pod.delete(kill=kill)
    hurt_cluster.wait_components()
    assert before.isdisjoint(pod.name for pod in hurt_cluster.pods("operator") if not pod.ends)
    moving.wait(
        "the step that follows", lambda each: [step.outcome for step in each.status.steps] == ["Applied"]
    )
    moving.arrives_in_one_attempt()


def test_a_drained_node_keeps_its_agent_and_its_migration_and_never_the_last_operator_ends(
    hurt_cluster, under_way
):
    moving = under_way()
    kubectl = hurt_cluster.kubectl
    agents = {pod.name for pod in hurt_cluster.pods("agent")}
    kubectl.run("drain", "node-a", "--ignore-daemonsets", "--timeout=50s")
    assert {pod.node for pod in hurt_cluster.pods("operator") if not pod.ends} <= {"node-b", None}
    with pytest.raises(
        KubectlError, match="Cannot evict pod as it would violate the pod's disruption budget"
    ):
        kubectl.run("drain", "node-b", "--ignore-daemonsets", "--timeout=10s")
    assert any(pod.ready for pod in hurt_cluster.pods("operator"))
    assert {pod.name for pod in hurt_cluster.pods("agent") if pod.ready} == agents
    moving.gets_on()
    moving.arrives_in_one_attempt()
    kubectl.run("uncordon", "node-a", "node-b")
    until(
        "both operators to be ready",
        lambda: [pod.ready for pod in hurt_cluster.pods("operator")] == [True, True],
        timeout=60,
    )
