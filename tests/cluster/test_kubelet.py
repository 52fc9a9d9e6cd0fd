"""A kubelet dies in mid-migration: nobody who migrates notices."""

import pytest

from vmferry_lab.cluster.node import Service


def pods_of(cluster):
    found = [pod for component in ("operator", "agent") for pod in cluster.pods(component)]
    return {pod.name: pod.restarts for pod in found if not pod.ends}


@pytest.mark.parametrize("service", list(Service))
def test_a_killed_service_of_the_node_leaves_pods_and_migration_alone(hurt_cluster, lab, under_way, service):
    before = pods_of(hurt_cluster)
    moving = under_way()
    for node in hurt_cluster.nodes:
        node.kill_service(service)
    moving.gets_on()
    for node in hurt_cluster.nodes:
        lab.start(node.component(service))
    moving.gets_on()
    moving.arrives_in_one_attempt()
    hurt_cluster.wait_components()
    assert pods_of(hurt_cluster) == before
