"""The command `vmferry-lab demo`."""

import os
import shlex
import time
from pathlib import Path

import click

from vmferry_api.migrations import VMMigration
from vmferry_lab.demo.story import Story
from vmferry_lab.errors import LabError
from vmferry_lab.guests.image import GuestSpec
from vmferry_lab.invocation import command_line
from vmferry_lab.lab import Lab

TIMEOUT = 120.0
_HERE = Path(__file__).parent
_GUEST = GuestSpec(name="db-1")
_MIGRATION = "db-1-to-b"


def run(lab: Lab, *, keep: bool) -> None:
    """Show it all, and leave nothing behind unless asked to.

    Raises:
        LabError: It did not end as it should have.
    """
    began = time.monotonic()
    _say("A Kubernetes API server, two libvirt hosts, the operator, an agent on each host:")
    lab.down()
    try:
        lab.up(say=lambda text: click.echo(f"  {text}"))
        _start_guest(lab)
        _migrate(lab)
        _prove(lab)
    except BaseException:
        if not keep:
            lab.down()
        raise
    if keep:
        _tell_how_to_look_around(lab)
    else:
        lab.down()
        _say(
            f"All gone again, {time.monotonic() - began:.0f} s after the start. KEEP=1 keeps it to look around."
        )


def _start_guest(lab: Lab) -> None:
    _say("A guest that writes 80 MB/s, over and over the same 64 MiB; the link will carry 50 MiB/s:")
    _command("vmferry-lab vm start db-1 --host node-a --dirty-rate 80M --working-set 64Mi")
    lab.guest("db-1").start(lab.host("node-a"), _GUEST)


def _migrate(lab: Lab) -> None:
    _say("A policy that escalates, and a migration under it:")
    for file in ("policy.yaml", "migration.yaml"):
        _kubectl(lab, "apply", "-f", str(_HERE / file))
    _say("What happens, as the object's status tells it:")
    story = Story()
    deadline = time.monotonic() + TIMEOUT
    while True:
        migration = VMMigration.model_validate(lab.kubectl.get("vmmigration", _MIGRATION))
        for line in story.lines(migration):
            click.echo(f"  {line}")
        if migration.status.is_over:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{_MIGRATION} has not ended within {TIMEOUT:.0f} s; see {lab.directory}/logs")
        time.sleep(0.25)


def _prove(lab: Lab) -> None:
    _say("The guest checks each page before it writes it, and counts its ticks:")
    _command("vmferry-lab vm verdict db-1")
    guest = lab.guest("db-1")
    states = guest.states(lab.hosts)
    verdict = guest.verdict()
    click.echo(f"  {', '.join(f'{state} on {host}' for host, state in states.items())}; {verdict}")
    _kubectl(lab, "get", "vmmig")
    if states != {"node-b": "running"} or not verdict.intact:
        raise LabError("the guest did not arrive intact on node-b")


def _tell_how_to_look_around(lab: Lab) -> None:
    _say("The lab stays up. To look around:")
    click.echo(f'  eval "$({command_line(lab.directory, "env")})"')
    click.echo(f"  kubectl describe vmmig {_MIGRATION}")
    click.echo("  kubectl explain migrationpolicy.spec.steps")
    click.echo("  vmferry-lab logs -f")
    click.echo("  vmferry-lab down")


def _kubectl(lab: Lab, *words: str) -> None:
    _command(shlex.join(["kubectl", *(_short(word) for word in words)]))
    for line in lab.kubectl.run(*words).splitlines():
        click.echo(f"  {line}")


def _short(word: str) -> str:
    """A path as one would type it in the checkout."""
    return os.path.relpath(word) if word.startswith("/") else word


def _command(text: str) -> None:
    click.secho(f"  $ {text}", bold=True)


def _say(text: str) -> None:
    click.secho(f"\n{text}", fg="cyan")
