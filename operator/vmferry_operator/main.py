"""The command `vmferry-operator`."""

import asyncio
import logging
import signal

import click

from vmferry_kube.clients import connect
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.logs import LogFormat, log_to_stderr
from vmferry_operator.controller import Controller


@click.command()
@click.option("--verbose", is_flag=True, help="Log more.")
@click.option(
    "--log-format",
    type=click.Choice([each.value for each in LogFormat]),
    default="text",
    show_default=True,
    callback=lambda _context, _parameter, value: LogFormat(value),
    help="Lines for people, or JSON.",
)
@click.option(
    "--namespace",
    default=NAMESPACE,
    show_default=True,
    envvar="VMFERRY_NAMESPACE",
    show_envvar=True,
    help="Where the agents' Leases are.",
)
def main(*, verbose: bool, log_format: LogFormat, namespace: str) -> None:
    """Decide what should be in force for each live migration of the cluster."""
    log_to_stderr(verbose=verbose, log_format=log_format)
    asyncio.run(_serve(namespace))


async def _serve(namespace: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect() as client:
        controller = Controller(client, namespace=namespace)
        starting = asyncio.create_task(controller.start(), name="start")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        await stopping
        starting.cancel()
        logging.getLogger(__name__).info("stopping")
        await controller.stop()
