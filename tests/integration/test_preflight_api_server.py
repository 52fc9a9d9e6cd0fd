"""What the pre-flight check says of a real API server."""

import pytest

from agent_configurations import configuration
from vmferry_agent import preflight
from vmferry_agent.decisions.preflight import Level
from vmferry_lab.ports import free_ports


@pytest.fixture
def found(monkeypatch):
    """What is found with a kubeconfig."""

    async def look(kubeconfig, **given):
        monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        return [(each.level, each.what) for each in await preflight.check_api_server(configuration(**given))]

    return look


async def test_an_agent_has_what_it_needs(found, control_plane):
    assert await found(control_plane.agent_kubeconfig("node-a")) == [
        (Level.OK, "the API server lets the agent do what it must")
    ]


async def test_in_another_namespace_it_lacks_the_lease(found, control_plane):
    assert await found(control_plane.agent_kubeconfig("node-a"), namespace="default") == [
        (Level.WARNING, "no right to keep its Lease")
    ]


async def test_a_stranger_is_refused_and_an_api_server_that_is_away_is_another_thing(
    found, control_plane, tmp_path
):
    known = control_plane.agent_kubeconfig("node-a").read_text()
    stranger = tmp_path / "stranger"
    stranger.write_text(
        "\n".join("    token: x" if "token:" in line else line for line in known.splitlines())
    )
    ((level, what),) = await found(stranger)
    assert (level, what) == (Level.ERROR, "the API server refuses the agent: 401 Unauthorized")
    (port,) = free_ports(1)
    away = tmp_path / "away"
    away.write_text(
        "\n".join(
            f"    server: https://127.0.0.1:{port}" if "server:" in line else line
            for line in known.splitlines()
        )
    )
    ((level, what),) = await found(away)
    assert level == Level.ERROR
    assert what.startswith("the API server can't be reached")


async def test_without_credentials_that_is_said(found, tmp_path):
    ((level, what),) = await found(tmp_path / "missing")
    assert level == Level.ERROR
    assert what.startswith("no credentials for the API server")
