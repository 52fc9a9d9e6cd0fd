"""Fixtures of the end-to-end tests."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from asked_migration import PATIENCE, Migration, ask, create_policy
from kubernetes import client, config

from vmferry_api import GROUP, VERSION
from vmferry_lab.guests.guest import Guest
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

_numbers = count(1)


@pytest.fixture(scope="session")
def api(lab: Lab) -> Iterator[client.CustomObjectsApi]:
    """The API server, as its administrator."""
    connection = config.new_client_from_config(str(lab.kubectl.kubeconfig))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture
def policy(api: client.CustomObjectsApi) -> Iterator[Callable[..., str]]:
    """Creates a MigrationPolicy of a spec, and tells its name."""
    names = []

    def create(**spec: Any) -> str:
        names.append(f"policy-{next(_numbers)}")
        create_policy(api, names[-1], **spec)
        return names[-1]

    yield create
    for name in names:
        api.delete_cluster_custom_object(GROUP, VERSION, "migrationpolicies", name)


@pytest.fixture
def migrate(lab: Lab, api: client.CustomObjectsApi) -> Iterator[Callable[..., Migration]]:
    """Creates a VMMigration from node-a to node-b; after the test it is gone, and no traceback was logged."""
    created: list[Migration] = []
    logs = [lab.components.log(name) for name in lab.components.names]
    begun = [len(log.read_text()) for log in logs]

    def create(vm: str, labels: dict[str, str] | None = None, **spec: Any) -> Migration:
        created.append(ask(api, f"migration-{next(_numbers)}", vm=vm, labels=labels, **spec))
        return created[-1]

    yield create
    for migration in created:
        if migration.exists():
            migration.delete()
    for migration in created:
        until(f"{migration.name} to be gone", lambda each=migration: not each.exists(), timeout=PATIENCE)
    for log, size in zip(logs, begun, strict=True):
        assert "Traceback" not in log.read_text()[size:]


@pytest.fixture
def all_run_again(lab: Lab) -> Iterator[None]:
    """Starts what of vmferry the test has stopped, whatever happened."""
    yield
    lab.components.start_all()


@pytest.fixture
def assert_runs_only_on(lab: Lab) -> Callable[[Guest, str], None]:
    """Asserts that a guest runs on one host, is unknown to the others, goes on, and lost nothing."""

    def check(guest: Guest, host: str) -> None:
        ticks = guest.verdict().ticks
        until(f"{guest.name} to go on", lambda: guest.verdict().ticks > ticks, timeout=PATIENCE)
        assert guest.settled_states(lab.hosts) == {host: "running"}
        assert guest.verdict().intact, guest.verdict()

    return check
