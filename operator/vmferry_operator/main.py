"""The command `vmferry-operator`."""

import asyncio
import logging
import signal
import sys
from typing import Any

import click
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from vmferry_kube.clients import connect
from vmferry_kube.health import HealthServer
from vmferry_kube.leases import OPERATOR_LEASE_NAME, LeaseObject
from vmferry_kube.logs import log_to_stderr
from vmferry_operator.configuration import Configuration, options
from vmferry_operator.controller import LAST_WRITES, Controller
from vmferry_operator.election import Election, new_identity
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
    if not configuration.leader_elect:
        async with connect() as client:
            await _serve(configuration, client, None, stop)
        return
    async with connect() as apart:  # so that renewals never wait for what is decided
        election = Election(
            LeaseObject(apart, namespace=configuration.namespace, name=OPERATOR_LEASE_NAME),
            identity=new_identity(),
            timing=configuration.timing,
        )
        async with connect(may_write=election.may_write) as client:
            await _serve(configuration, client, election, stop)


async def _serve(
    configuration: Configuration, client: ApiClient, election: Election | None, stop: asyncio.Event
) -> None:
    metrics = Metrics()
    controller = Controller(client, namespace=configuration.namespace, measurements=metrics)
    metrics.follow(lambda: controller.state)
    server = _health(controller, metrics)
    if configuration.health_port is not None:
        await server.start(configuration.health_address, configuration.health_port)
    working = asyncio.create_task(_work(controller, election), name="work")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()
    _logger.info("stopping")
    await _end(working)
    await server.stop()
    await controller.stop()


async def _work(controller: Controller, election: Election | None) -> None:
    """Follow what there is, and decide while this operator leads; until it is cancelled."""
    await controller.start()
    if election is None:
        await controller.lead()
        await asyncio.Future()
        return
    standing = asyncio.create_task(
        election.stand(another_led=controller.another_led), name="stand for election"
    )
    deciding = asyncio.create_task(_take_turns(controller, election), name="decide while it leads")
    try:
        await _first_error(standing, deciding)
    finally:
        await _end(deciding)
        await controller.step_down(grace=LAST_WRITES)  # the Lease is renewed meanwhile
        await _end(standing)
        await election.release()


async def _take_turns(controller: Controller, election: Election) -> None:
    """Decide whenever this operator leads."""
    while True:
        await election.won()
        beginning = asyncio.create_task(controller.lead(), name="begin to lead")
        ending = asyncio.create_task(election.lost(), name="lead until the Lease is lost")
        try:
            await _first_error(beginning, ending)
            await ending
        finally:
            await _end(beginning)
            await _end(ending)
        await controller.step_down()


async def _first_error(*tasks: asyncio.Task[None]) -> None:
    """Wait until one has ended; raises what that raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _health(controller: Controller, metrics: Metrics) -> HealthServer:
    async def not_ready() -> list[str]:
        return [*controller.unheard]

    return HealthServer(dead=lambda: controller.dead, not_ready=not_ready, metrics=metrics.text)
