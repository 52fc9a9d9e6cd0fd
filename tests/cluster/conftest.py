"""Fixtures of the tests on a real cluster: what is shipped, on nodes with kubelets."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from asked_migration import PATIENCE, ask, create_policy
from kubernetes import client, config
from machine import machine
from moving_guest import GUEST, HOPELESS, MovingGuest

from vmferry_api import GROUP, VERSION
from vmferry_lab.cluster.cluster import Cluster
from vmferry_lab.guests.guest import Guest
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

_numbers = count(1)


@pytest.fixture(scope="session")
def machine_before() -> dict[str, object]:
    """The machine before anything was brought up."""
    return machine()


@pytest.fixture(scope="session")
def lab(machine_before: dict[str, object], cluster_lab: Lab) -> Lab:  # in this order
    """The lab of these tests, where `start_guest` starts guests, too."""
    return cluster_lab


@pytest.fixture(scope="session")
def api(lab: Lab) -> Iterator[client.CustomObjectsApi]:
    """The API server, as its administrator."""
    connection = config.new_client_from_config(str(lab.kubectl.kubeconfig))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Cluster:
    """What of it runs pods."""
    return lab.cluster


@pytest.fixture
def migrate(
    lab: Lab, api: client.CustomObjectsApi, start_guest: Callable[..., Guest]
) -> Iterator[Callable[..., MovingGuest]]:
    """Starts a guest on node-a and has it migrated to node-b by a policy of these words."""
    created: list[MovingGuest] = []

    def create(**policy: Any) -> MovingGuest:
        name = f"cluster-{next(_numbers)}"
        guest = start_guest(**GUEST)
        create_policy(api, name, **{**HOPELESS, **policy})
        created.append(MovingGuest(lab, guest, ask(api, name, vm=guest.name, policyRef={"name": name})))
        return created[-1]

    yield create
    for each in created:
        if each.migration.exists():
            each.migration.delete()
    for each in created:
        name = each.migration.name
        until(f"{name} to be gone", lambda it=each.migration: not it.exists(), timeout=PATIENCE)
        api.delete_cluster_custom_object(GROUP, VERSION, "migrationpolicies", name)


@pytest.fixture
def under_way(migrate: Callable[..., MovingGuest]) -> Callable[..., MovingGuest]:
    """As `migrate`, once it is in a pre-copy that does not end by itself."""

    def begin(**policy: Any) -> MovingGuest:
        moving = migrate(**policy)
        moving.migration.passes(2)
        return moving

    return begin


@pytest.fixture
def hurt_cluster(lab: Lab, cluster: Cluster, migrate: Callable[..., MovingGuest]) -> Iterator[Cluster]:
    """For tests that hurt nodes or pods: all is taken back, before the migrations of the test are removed."""
    yield cluster
    for node in cluster.nodes:
        node.restore()
        node.join(lab.control_plane)
    lab.kubectl.run("uncordon", *(node.name for node in cluster.nodes))
    cluster.wait_components()
