"""A node loses its power or a link in mid-migration: what Kubernetes and the migration tell, what comes after."""

import json

from asked_migration import reason

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.until import until

PATIENT = {
    "retry": {"attempts": 3, "backoff": "1s"},
    "steps": [{"after": {"passes": 6}, "setMaxDowntime": "5s"}],
}
"""After six passes it ends by itself; until then there is time for a fault."""


def readiness(cluster, name):
    """What Kubernetes says of a node: True, False, or Unknown."""
    node = json.loads(cluster.kubectl.run("get", "node", name, "-o", "json"))
    (found,) = [each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"]
    return found


def fails(moving):
    return moving.wait(
        "the attempt to fail",
        lambda each: each.status.attempts and each.status.attempts[0].outcome == AttemptOutcome.FAILED,
    )


def test_a_target_that_loses_power_is_told_and_the_migration_goes_there_once_it_is_back(
    hurt_cluster, lab, under_way
):
    moving = under_way(**PATIENT)
    lab.node("node-b").power_off()
    fails(moving)
    assert moving.guest.states([lab.node("node-a")]) == {"node-a": "running"}
    until("node-b to be not ready", lambda: readiness(hurt_cluster, "node-b") == "Unknown", timeout=60)
    lab.power_on("node-b")
    until("node-b to be ready", lambda: readiness(hurt_cluster, "node-b") == "True", timeout=60)
    hurt_cluster.wait_components()
    done = moving.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    moving.runs_only_on("node-b")


def test_a_data_link_that_is_cut_ends_the_attempt_but_not_the_node(hurt_cluster, lab, under_way):
    moving = under_way(**PATIENT)
    target = lab.node("node-b")
    target.cut()
    fails(moving)
    assert readiness(hurt_cluster, "node-b") == "True"
    assert [pod.ready for pod in hurt_cluster.pods("agent")] == [True, True]
    target.heal()
    done = moving.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    moving.runs_only_on("node-b")


def test_a_link_that_becomes_slow_slows_the_migration_and_does_not_end_it(hurt_cluster, lab, under_way):
    moving = under_way()
    target = lab.node("node-b")
    target.shape(5_000_000)
    moving.wait(
        "to be told as slow",
        lambda each: (
            each.status.progress.bandwidth is not None and each.status.progress.bandwidth < 8_000_000
        ),
    )
    target.unshape()
    moving.gets_on()
    moving.arrives_in_one_attempt()


def test_a_source_that_is_cut_off_from_the_api_server_is_told_and_its_migration_goes_on(
    hurt_cluster, lab, under_way
):
    moving = under_way()
    source = lab.node("node-a")
    source.cut_control_link()
    until("node-a to be not ready", lambda: readiness(hurt_cluster, "node-a") == "Unknown", timeout=60)
    moving.wait(
        "the agent's silence to be told by an operator on the other node",
        lambda each: reason(each, ConditionType.RECONCILING) == "AgentSilent",
        timeout=120,
    )
    source.heal_control_link()
    until("node-a to be ready", lambda: readiness(hurt_cluster, "node-a") == "True", timeout=60)
    moving.gets_on()
    moving.arrives_in_one_attempt()
