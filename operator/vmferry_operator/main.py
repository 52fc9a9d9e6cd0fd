"""The command `vmferry-operator`."""

import asyncio
import logging
import signal
import socket
import sys
from typing import Any

import click
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from vmferry_kube.clients import connect
from vmferry_kube.health import HealthServer
from vmferry_kube.leases import OPERATOR_LEASE_NAME, Lease
from vmferry_kube.logs import log_to_stderr
from vmferry_operator.configuration import Configuration, options
from vmferry_operator.controller import Controller
from vmferry_operator.metrics import Metrics

_logger = logging.getLogger(__name__)


@click.command()
@click.version_option(package_name="vmferry", prog_name="vmferry-operator")
@options
def main(**words: Any) -> None:  # noqa: ANN401 - click's
    """Decide what should be in force for each live migration of the cluster."""
    configuration = Configuration(**words)
    log_to_stderr(verbose=configuration.verbose, log_format=configuration.log_format)
    try:
        asyncio.run(_run(configuration))
    except (ConfigException, OSError) as error:
        _logger.error("can't run: %s", error)
        sys.exit(1)


async def _run(configuration: Configuration) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect() as client:
        await _serve(configuration, client, stop)


async def _serve(configuration: Configuration, client: ApiClient, stop: asyncio.Event) -> None:
    metrics = Metrics()
    controller = Controller(client, namespace=configuration.namespace, measurements=metrics)
    metrics.follow(lambda: controller.state)
    server = _health(controller, metrics)
    if configuration.health_port is not None:
        await server.start(configuration.health_address, configuration.health_port)
    lease = _lease(configuration, client)
    keeping = asyncio.create_task(lease.keep(at_once=True), name="keep the Lease")
    starting = asyncio.create_task(controller.start(), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
    await stopping
    starting.cancel()
    keeping.cancel()
    _logger.info("stopping")
    await server.stop()
    await controller.stop()


def _lease(configuration: Configuration, client: ApiClient) -> Lease:
    """Only tells that an operator runs: it keeps no second one from acting."""
    return Lease(
        client, namespace=configuration.namespace, name=OPERATOR_LEASE_NAME, holder=socket.gethostname()
    )


def _health(controller: Controller, metrics: Metrics) -> HealthServer:
    async def not_ready() -> list[str]:
        return [*controller.unheard]

    return HealthServer(dead=lambda: controller.dead, not_ready=not_ready, metrics=metrics.text)
