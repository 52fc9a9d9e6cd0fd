"""The command `vmferry-lab`."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click
import libvirt

from vmferry_api.quantities import format_quantity
from vmferry_lab import cluster_commands, host_commands
from vmferry_lab.controlplane.binaries import find_or_build
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.demo.run import run as run_demo
from vmferry_lab.directories import default_directory
from vmferry_lab.errors import LabError
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec, Pattern
from vmferry_lab.helm import find_or_build_helm
from vmferry_lab.hosts.host import Host
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.invocation import command_line
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.lab import Lab
from vmferry_lab.monitoring.binaries import find_or_unpack
from vmferry_lab.monitoring.prometheus import Prometheus
from vmferry_lab.options import LabCommand, Quantity, directory_option

DEMO_DIRECTORY = Path(tempfile.gettempdir()) / f"vmferry-demo-{os.getuid()}"


@click.group(cls=LabCommand, params=[directory_option(expose_value=True)])
@click.pass_context
def main(context: click.Context, directory: Path | None) -> None:
    """A real Kubernetes API server and real libvirt hosts, on this machine."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # else it prints each error before anybody handles it
    if directory is None:
        context.obj = Lab(default_directory().absolute())


@main.command()
@click.option("--hosts", type=int, help="How many libvirt hosts.  [default: 2]")
@click.option(
    "--hosts-kind",
    "kind",
    type=click.Choice([str(each) for each in HostsKind]),
    help="node: each a machine of its own, with links that can be cut (root); session: daemons that meet on "
    "loopback; cluster: nodes that run pods (see `cluster up`).  [default: node where it can be had]",
)
@click.option(
    "--link",
    type=Quantity(),
    help="Let links carry so many bytes per second, such as 55M (root): each node's, both ways; of session hosts "
    "those that join them in pairs (a and b, c and d).",
)
@click.option("--components/--no-components", default=True, help="Start vmferry's operator and agents, too.")
@click.pass_obj
def up(lab: Lab, *, hosts: int | None, kind: str | None, link: int | None, components: bool) -> None:
    """Bring a lab up, or start what of it does not run any more."""
    lab.up(hosts=hosts, kind=HostsKind(kind) if kind else None, link=link, components=components)
    click.echo(f'go on with:  eval "$({command_line(lab.directory, "env")})"; kubectl get nodes,migpol')


@main.command()
@click.pass_obj
def down(lab: Lab) -> None:
    """Stop everything and remove the lab, also after a crash."""
    lab.down()
    click.echo(f"{lab.directory}: gone")


@main.command()
@click.pass_obj
def status(lab: Lab) -> None:
    """Show what runs."""
    running = lab.process_states
    hosts = lab.hosts
    click.echo(f"{'directory':<12}{lab.directory}")
    for each in hosts:
        click.echo(f"{'host':<12}{each.name:<24}{_what(each)}")
    for name, runs in running.items():
        click.echo(f"{'process':<12}{name:<24}{'runs' if runs else 'stopped'}")
    if lab.kind is HostsKind.CLUSTER:
        for pod in [*lab.cluster.pods("operator"), *lab.cluster.pods("agent")]:
            click.echo(f"{'pod':<12}{pod.name:<40}{pod.state}")
    for guest in lab.guests:
        click.echo(f"{'guest':<12}{guest.name:<24}{_where(hosts, guest)}")


@main.command()
@click.pass_obj
def env(lab: Lab) -> None:
    """Print what a shell needs: eval "$(vmferry-lab env)"."""
    if not lab.is_up:
        raise LabError(
            f"there is no lab in {lab.directory}; bring one up by `{command_line(lab.directory, 'up')}`"
        )
    for name, value in client_environment(lab.kubectl.kubeconfig).items():
        if value != os.environ.get(name):
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"export VMFERRY_LAB_DIR={shlex.quote(str(lab.directory))}")
    if shutil.which("kubectl") != str(kubectl_path()):
        click.echo(f'export PATH={shlex.quote(str(kubectl_path().parent))}:"$PATH"')


@main.command()
def binaries() -> None:
    """Build the control plane's programs and Helm, and unpack Prometheus, unless they are there."""
    found, monitoring = find_or_build(click.echo), find_or_unpack(click.echo)
    helm = find_or_build_helm(click.echo)
    click.echo(f"control plane: {found.apiserver.parent}")
    click.echo(f"Prometheus: {monitoring.prometheus.parent}")
    click.echo(f"Helm: {helm}")


@main.command()
@click.pass_obj
def monitor(lab: Lab) -> None:
    """Start a Prometheus that scrapes operator and agents, with the rules of manifests/monitoring."""
    prometheus = Prometheus(lab)
    prometheus.start(click.echo)
    click.echo(prometheus.url)


@main.command()
@click.option("--keep", is_flag=True, envvar="KEEP", help="Leave it all running. [env: KEEP=1]")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help=f"[default: {DEMO_DIRECTORY}]")
@click.pass_context
def demo(context: click.Context, *, keep: bool, directory: Path | None) -> None:
    """Show the main job: a guest that can't converge, and a policy that makes it."""
    chosen = directory or context.find_root().params["directory"] or DEMO_DIRECTORY
    run_demo(Lab(chosen.absolute()), keep=keep)


@main.command()
@click.argument("component", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows.")
@click.pass_obj
def logs(lab: Lab, component: str | None, *, follow: bool) -> None:
    """Show logs; of the operator and the agents unless one is named."""
    names = [component] if component else lab.components.names
    paths = [lab.directory / "logs" / f"{name}.log" for name in names]
    if component and not paths[0].exists():
        there = ", ".join(sorted(path.stem for path in paths[0].parent.glob("*.log")))
        raise LabError(f"there is no log of {component}; there are: {there or 'none'}")
    subprocess.run(["tail", "-n", "100", *(["-F"] if follow else []), *paths], check=False)


@main.command()
@click.argument("component")
@click.pass_obj
def start(lab: Lab, component: str) -> None:
    """Start the operator, an agent, a server or a libvirtd (see `status`)."""
    lab.start(component)


@main.command()
@click.argument("component")
@click.option("--kill", is_flag=True, help="SIGKILL instead of SIGTERM.")
@click.pass_obj
def restart(lab: Lab, component: str, *, kill: bool) -> None:
    """Stop and start the operator, an agent, a server or a libvirtd."""
    lab.stop(component, kill=kill)
    lab.start(component)


@main.command()
@click.argument("component")
@click.option("--kill", is_flag=True, help="SIGKILL instead of SIGTERM.")
@click.pass_obj
def stop(lab: Lab, component: str, *, kill: bool) -> None:
    """Stop the operator, an agent, a server or a libvirtd (whose guests run on)."""
    lab.stop(component, kill=kill)


main.add_command(host_commands.host)
main.add_command(cluster_commands.cluster)


@main.group(cls=LabCommand)
def vm() -> None:
    """Guests that write memory at a given rate, and prove that none was lost."""


def _with_lab(command: Callable[..., None]) -> Callable[..., None]:
    return click.pass_obj(wraps(command)(command))


@vm.command("start")
@click.argument("name")
@click.option("--host", required=True, help="Where it starts, such as node-a.")
@click.option("--memory", type=Quantity(), default="128Mi", show_default=True)
@click.option("--dirty-rate", type=Quantity(), default="80M", show_default=True, help="Bytes per second.")
@click.option("--working-set", type=Quantity(), default="64Mi", show_default=True)
@click.option(
    "--pattern",
    type=click.Choice([each.name.lower() for each in Pattern]),
    default="sequential",
    show_default=True,
)
@click.option("--local-disk", is_flag=True, help="Give it a second disk, which is on its host alone (node).")
@_with_lab
def vm_start(
    lab: Lab,
    name: str,
    *,
    host: str,
    memory: int,
    dirty_rate: int,
    working_set: int,
    pattern: str,
    local_disk: bool,
) -> None:
    """Start a guest."""
    spec = GuestSpec(
        name=name,
        memory=memory,
        dirty_rate=dirty_rate,
        working_set=working_set,
        pattern=Pattern[pattern.upper()],
        local_disk=local_disk,
    )
    lab.guest(name).start(lab.host(host), spec)
    click.echo(
        f"{name} runs on {host}: {format_quantity(memory)}, {dirty_rate / 1e6:.0f} MB/s over "
        f"{format_quantity(working_set)}, {pattern}"
    )


@vm.command("rate")
@click.argument("name")
@click.argument("rate", type=Quantity())
@_with_lab
def vm_rate(lab: Lab, name: str, rate: int) -> None:
    """Change a guest's rate of dirtying, in bytes per second, also while it migrates."""
    lab.guest(name).set_rate(lab.hosts, rate)


@vm.command("verdict")
@click.argument("name")
@_with_lab
def vm_verdict(lab: Lab, name: str) -> None:
    """Tell whether a guest's memory is intact; exit code 1 if not."""
    guest = lab.guest(name)
    found = guest.verdict()
    click.echo(f"{name} ({_where(lab.hosts, guest)}): {found}")
    sys.exit(0 if found.intact else 1)


@vm.command("disk")
@click.argument("name")
@_with_lab
def vm_disk(lab: Lab, name: str) -> None:
    """Print the SHA-256 of what is on a guest's local disk, on each host."""
    guest = lab.guest(name)
    for each in lab.hosts:
        click.echo(f"{each.name}  {guest.local_disk_checksum(each) or 'none there'}")


@vm.command("list")
@_with_lab
def vm_list(lab: Lab) -> None:
    """List the guests, and where they are."""
    hosts = lab.hosts
    for guest in lab.guests:
        click.echo(f"{guest.name}  {_where(hosts, guest)}")


@vm.command("remove")
@click.argument("name")
@_with_lab
def vm_remove(lab: Lab, name: str) -> None:
    """Destroy a guest."""
    lab.guest(name).destroy(lab.hosts)


def _where(hosts: list[Host], guest: Guest) -> str:
    found, silent = [], []
    for host in hosts:
        try:
            found += [f"{state} on {name}" for name, state in guest.states([host]).items()]
        except LabError:
            silent.append(f"{host.name} does not answer")
    return ", ".join([*found, *silent]) or "on no host"


def _what(host: Host) -> str:
    return host.state if isinstance(host, NodeHost) else "session"
