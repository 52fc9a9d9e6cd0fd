"""`vmferry-lab cluster ...`: a lab whose nodes run pods, by the shipped images and manifests."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from vmferry_lab.cluster.binaries import find_or_build_cluster
from vmferry_lab.cluster.cluster import NAMESPACE
from vmferry_lab.cluster.pods import Pods
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.kinds import HostsKind, check_cluster_possible
from vmferry_lab.invocation import command_line
from vmferry_lab.lab import Lab
from vmferry_lab.options import LabCommand, Quantity

_NOT_POSSIBLE = 3
"""The exit code that tells a machine's lack from an error, which has 1 or 2."""


@click.group(cls=LabCommand)
def cluster() -> None:
    """A lab whose nodes run pods: kubelet and containerd on each, vmferry by its images and manifests (root).

    All other commands work on it, too.
    """


def _with_lab(command: Callable[..., None]) -> Callable[..., None]:
    return click.pass_obj(wraps(command)(command))


@cluster.command("up")
@click.option("--hosts", type=int, help="How many nodes.  [default: 2]")
@click.option("--link", type=Quantity(), help="Let each node's data link carry so many bytes per second.")
@click.option("--overlay", default="overlays/ha", show_default=True, help="Which directory of manifests/.")
@click.option("--components/--no-components", default=True, help="Run operator and agents, too.")
@_with_lab
def up(lab: Lab, *, hosts: int | None, link: int | None, overlay: str, components: bool) -> None:
    """Bring a cluster up, or start what of it does not run any more."""
    pods = Pods.shipped(overlay=overlay, components=components)
    lab.up(hosts=hosts, kind=HostsKind.CLUSTER, link=link, components=components, pods=pods)
    click.echo(
        f'go on with:  eval "$({command_line(lab.directory, "env")})"; kubectl -n {NAMESPACE} get pods -o wide'
    )


@cluster.command("load")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_with_lab
def load(lab: Lab, *, archive: Path) -> None:
    """Bring one more image to all nodes: an ARCHIVE as `docker save` or `make images` writes it."""
    lab.cluster.load(archive.absolute())


@cluster.command("possible")
def possible() -> None:
    """Tell whether this machine can have one; exit code 3 and the reason if not."""
    try:
        check_cluster_possible()
    except LabError as error:
        click.echo(str(error))
        sys.exit(_NOT_POSSIBLE)
    click.echo("a cluster can be had here")


@cluster.command("binaries")
def binaries() -> None:
    """Build and unpack what nodes need to run pods, unless it is there."""
    click.echo(f"nodes: {find_or_build_cluster(click.echo).containerd.parent}")
