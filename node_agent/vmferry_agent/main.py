"""The command `vmferry-agent`."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import click
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from vmferry_agent.agent import Agent
from vmferry_agent.configuration import CheckConfiguration, Configuration, check_options, options
from vmferry_agent.decisions.preflight import Level
from vmferry_agent.hypervisor.host_certificates import certificates_end
from vmferry_agent.hypervisor.libvirt_daemons import system_daemon
from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.metrics import Metrics
from vmferry_agent.migrations.target import Addresses
from vmferry_agent.migrations.traces import Traces
from vmferry_agent.preflight import check as look
from vmferry_agent.preflight import log_libvirt
from vmferry_agent.reachability import Reachability
from vmferry_agent.signals import Signals, leave
from vmferry_api.transports import leads_to_socket
from vmferry_kube.clients import connect
from vmferry_kube.health import HealthServer
from vmferry_kube.leases import Lease, agent_lease_name
from vmferry_kube.logs import log_to_stderr

_logger = logging.getLogger(__name__)

_ENDING = 1.6
"""Seconds that an orderly end may take."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@click.group()
@click.version_option(package_name="vmferry", prog_name="vmferry-agent")
def main() -> None:
    """Carry out the live migrations from and to one node."""


@main.command()
@options
def run(**words: Any) -> None:  # noqa: ANN401 - click's
    """Carry out the live migrations from and to this node, until SIGTERM."""
    configuration = Configuration(**words)
    log_to_stderr(verbose=configuration.verbose, log_format=configuration.log_format)
    asyncio.run(_run(configuration))


@main.command()
@check_options
def check(**words: Any) -> None:  # noqa: ANN401 - click's
    """Tell whether this host and the cluster have what the agent needs; the exit code is 1 where not."""
    configuration = CheckConfiguration(**words)
    log_to_stderr(verbose=configuration.verbose)
    if not configuration.verbose:
        logging.disable(logging.INFO)
    findings = asyncio.run(look(configuration))
    for finding in findings:
        click.echo(f"{finding.level:8}{finding}")
    leave(1 if any(finding.level == Level.ERROR for finding in findings) else 0)


async def _run(configuration: Configuration) -> None:
    """Never returns: closing the event loop would wait for threads."""
    signals = Signals()
    try:
        async with connect() as client:
            await _serve(configuration, client, signals)
    except (ConfigException, OSError) as error:
        _logger.error("can't run: %s", error)
        leave(1)


async def _serve(configuration: Configuration, client: ApiClient, signals: Signals) -> None:
    metrics = Metrics()
    hypervisor = LibvirtHypervisor(
        configuration.libvirt_uri, metrics, same_machine=leads_to_socket(configuration.connect_uri)
    )
    agent = Agent(
        configuration.node,
        hypervisor=hypervisor,
        addresses=Addresses(
            connect_uri=configuration.connect_uri,
            migration_uri=configuration.migration_uri,
            tls_destination=configuration.tls_destination,
        ),
        client=client,
        traces=Traces(configuration.record_traces),
        measure_dirty_rate=configuration.measure_dirty_rate,
        lease=_lease(configuration, client),
        measurements=metrics,
    )
    metrics.follow(lambda: agent.state)
    metrics.follow_certificates(lambda: certificates_end(system_daemon(configuration.libvirt_uri)))
    if configuration.health_port is not None:
        server = _health(agent, Reachability(hypervisor), metrics)
        await server.start(configuration.health_address, configuration.health_port)
    looking = asyncio.create_task(log_libvirt(configuration), name="look at libvirt")
    agent.start()
    await signals.wait()
    _logger.info("stopping; migrations that run go on")
    looking.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING):
            await agent.stop()
    leave(0)


def _lease(configuration: Configuration, client: ApiClient) -> Lease:
    """Held by the node as it was booted, so that a reboot shows."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = "unknown"
    return Lease(
        client,
        namespace=configuration.namespace,
        name=agent_lease_name(configuration.node),
        holder=f"{configuration.node}_{boot}",
    )


def _health(agent: Agent, reachability: Reachability, metrics: Metrics) -> HealthServer:
    async def not_ready() -> list[str]:
        trouble = await reachability.trouble()
        return [*agent.unheard, *([trouble] if trouble else [])]

    return HealthServer(dead=lambda: agent.dead, not_ready=not_ready, metrics=metrics.text)
