"""The command `vmferry-agent`."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import click
from kubernetes.aio.client import ApiClient

from vmferry_agent.agent import Agent
from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.migrations.target import Addresses
from vmferry_agent.migrations.traces import Traces
from vmferry_kube.clients import connect
from vmferry_kube.logs import log_to_stderr


@click.command()
@click.option("--node", required=True, help="The name of the Node object that this host is.")
@click.option(
    "--libvirt-uri", default="qemu:///system", show_default=True, help="This host's libvirt daemon."
)
@click.option(
    "--connect-uri", required=True, help="How other hosts' libvirt daemons reach this one's (peer-to-peer)."
)
@click.option("--migration-uri", help="Where this host's QEMU listens, such as tcp://10.0.0.7.")
@click.option(
    "--tls-destination",
    help="The name in the certificate of this host's QEMU, where it is not the host of the migration URI.",
)
@click.option(
    "--measure-dirty-rate/--no-measure-dirty-rate",
    default=True,
    show_default=True,
    help="Measure how fast a guest writes, by a sample of its pages, while it waits for its start.",
)
@click.option(
    "--record-traces",
    envvar="VMFERRY_RECORD_TRACES",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory to record each attempt in, for `kubectl vmferry simulate`.",
)
@click.option("--verbose", is_flag=True, help="Log more.")
def main(
    *,
    node: str,
    libvirt_uri: str,
    connect_uri: str,
    migration_uri: str | None,
    tls_destination: str | None,
    record_traces: Path | None,
    measure_dirty_rate: bool,
    verbose: bool,
) -> None:
    """Carry out the live migrations from and to this node."""
    log_to_stderr(verbose=verbose)
    addresses = Addresses(
        connect_uri=connect_uri, migration_uri=migration_uri, tls_destination=tls_destination
    )

    def new_agent(client: ApiClient) -> Agent:
        return Agent(
            node,
            hypervisor=LibvirtHypervisor(libvirt_uri),
            addresses=addresses,
            client=client,
            traces=Traces(record_traces),
            measure_dirty_rate=measure_dirty_rate,
        )

    asyncio.run(_serve(new_agent))


async def _serve(new_agent: Callable[[ApiClient], Agent]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect() as client:
        agent = new_agent(client)
        agent.start()
        await stop.wait()
        logging.getLogger(__name__).info("stopping; migrations that run go on")
        await agent.stop()
