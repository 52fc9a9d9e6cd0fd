"""`vmferry-lab host NAME ...`: what can be done to a node by hand."""

from collections.abc import Callable
from functools import wraps

import click

from vmferry_lab.hosts.faults import Traffic
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.lab import Lab
from vmferry_lab.options import LabCommand, Quantity

_NAME = "vmferry_lab.host"
"""Where click keeps the host's name for the command that follows it."""


@click.group(cls=LabCommand)
@click.argument("name")
@click.pass_context
def host(context: click.Context, name: str) -> None:
    """Cut, slow down or power off a node: host NAME COMMAND.

    `status` shows what is in force. None of it outlives a power cycle.
    """
    context.meta[_NAME] = name


def _on_node(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def on_node(**options: object) -> None:
        node = _lab().node(_name())
        command(node, **options)
        click.echo(f"{node.name}: {node.state}")

    return on_node


_TRAFFIC = click.Choice([str(each) for each in Traffic])


@host.command("cut")
@click.option("--control-link", is_flag=True, help="The link to the API server instead.")
@_on_node
def cut(node: NodeHost, *, control_link: bool) -> None:
    """Pull the cable of the data link: silent, nobody is told."""
    if control_link:
        node.cut_control_link()
    else:
        node.cut()


@host.command("drop")
@click.argument("traffic", type=_TRAFFIC)
@_on_node
def drop(node: NodeHost, *, traffic: str) -> None:
    """Drop libvirtd's packets (control) or QEMU's (stream) on the data link, and nothing else."""
    node.drop(Traffic(traffic))


@host.command("reset")
@click.argument("traffic", type=_TRAFFIC)
@_on_node
def reset(node: NodeHost, *, traffic: str) -> None:
    """Close libvirtd's connections (control) or QEMU's (stream) at once: the sharp cut."""
    node.reset(Traffic(traffic))


@host.command("heal")
@_on_node
def heal(node: NodeHost) -> None:
    """Take `cut` and `drop` back, on both links."""
    node.heal()
    node.heal_control_link()


@host.command("shape")
@click.argument("rate", type=Quantity())
@_on_node
def shape(node: NodeHost, *, rate: int) -> None:
    """Let each direction of the data link carry RATE bytes per second, such as 55M; also in flight."""
    node.shape(rate)


@host.command("unshape")
@_on_node
def unshape(node: NodeHost) -> None:
    """Take `shape` back."""
    node.unshape()


@host.command("freeze")
@_on_node
def freeze(node: NodeHost) -> None:
    """Stop libvirtd (SIGSTOP): it takes connections, and answers none."""
    node.freeze_daemon()


@host.command("thaw")
@_on_node
def thaw(node: NodeHost) -> None:
    """Take `freeze` back."""
    node.thaw_daemon()


@host.command("power-off")
@click.option("--crash", is_flag=True, help="Kill everything only: the peers are told, as the kernel lives.")
@_on_node
def power_off(node: NodeHost, *, crash: bool) -> None:
    """Cut its power: guests, libvirtd and agent are gone, and no peer is told."""
    node.power_off(silent=not crash)


@host.command("power-on")
def power_on() -> None:
    """Give it power again: libvirtd with its definitions, and the agent where vmferry runs."""
    _lab().power_on(_name())
    click.echo(f"{_name()}: {_lab().node(_name()).state}")


def _lab() -> Lab:
    lab = click.get_current_context().find_object(Lab)
    assert lab is not None  # main has chosen one
    return lab


def _name() -> str:
    name: str = click.get_current_context().meta[_NAME]
    return name
