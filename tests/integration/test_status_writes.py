"""What is written holds only for what was looked at."""

import asyncio

import pytest
from kubernetes.aio.client import ApiException

from vmferry_api import GROUP, VERSION
from vmferry_api.crd.definitions import NOT_LOOKED_AT
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR, SOURCE_AGENT
from vmferry_kube.errors import ConflictError
from vmferry_kube.migrations import StatusWriter
from vmferry_lab.controlplane.control_plane import OPERATOR as OPERATOR_USER

ATTEMPT = {"number": 1, "start": "2026-01-01T00:00:00Z"}


@pytest.fixture
async def agent(control_plane, connected):
    """Writes as the agent of node-a, the source."""
    return StatusWriter(await connected(control_plane.agent_kubeconfig("node-a")), manager=SOURCE_AGENT)


@pytest.fixture
async def operator(control_plane, connected):
    """Writes as the operator."""
    return StatusWriter(await connected(control_plane.kubeconfig(OPERATOR_USER)), manager=OPERATOR)


async def test_an_end_is_refused_if_an_attempt_has_begun_meanwhile(agent, operator, migration):
    seen = VMMigration.model_validate(migration).metadata
    begun = await agent.apply_migration(seen, {"attempts": [ATTEMPT]})
    with pytest.raises(ConflictError) as conflict:
        await operator.apply_migration(seen, {"phase": "Cancelled"})
    assert conflict.value.found == begun
    now = VMMigration.model_validate(conflict.value.found).metadata
    ended = await operator.apply_migration(now, {"phase": "Cancelled"})
    assert ended["status"] == {**NOT_LOOKED_AT, "attempts": [ATTEMPT], "phase": "Cancelled"}


async def test_an_attempt_is_refused_if_an_end_was_written_meanwhile(agent, operator, migration):
    seen = VMMigration.model_validate(migration).metadata
    await operator.apply_migration(seen, {"phase": "Cancelled"})
    with pytest.raises(ConflictError):
        await agent.apply_migration(seen, {"attempts": [ATTEMPT]})


async def test_the_api_server_tells_when_each_owner_has_last_changed_something(agent, operator, migration):
    seen = VMMigration.model_validate(migration).metadata
    progress = {"percent": 1, "pass": 1, "remaining": 1, "transferred": 1, "total": 2}
    times = []
    for elapsed in ("1s", "2s", "2s"):
        written = await agent.apply_migration(seen, {"progress": {**progress, "elapsed": elapsed}})
        seen = VMMigration.model_validate(written).metadata
        times.append({each.manager: each.time for each in seen.managed_fields})
        await asyncio.sleep(1.1)
    first, changed, same = (time[SOURCE_AGENT] for time in times)
    assert first < changed == same
    phase = await operator.apply_migration(seen, {"phase": "Running"})
    managers = VMMigration.model_validate(phase).metadata.managed_fields
    assert {each.manager: each.time for each in managers}[SOURCE_AGENT] == same


async def test_a_namesake_is_not_written_to(agent, api, migration):
    name = migration["metadata"]["name"]
    seen = VMMigration.model_validate(migration).metadata
    api.delete_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", name)
    again = {key: migration[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}}
    api.create_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", again)
    with pytest.raises(ApiException) as refused:
        await agent.apply_migration(seen, {"attempts": [ATTEMPT]})
    assert refused.value.status == 404
    now = api.get_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", name)
    assert now["status"] == NOT_LOOKED_AT
