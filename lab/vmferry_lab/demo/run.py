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
_GUEST = GuestSpec(name="db-1", dirty_rate=160_000_000)
_MIGRATION = "db-1-to-b"
_NEXT = (
    (f"kubectl vmferry describe {_MIGRATION}", "what was done, and why"),
    (f"kubectl vmferry explain {_MIGRATION}", "why by this policy, and not by another"),
    ("kubectl vmferry migrate db-1 --from node-b --to node-a --wait", "and back, live"),
    (f"kubectl describe vmmig {_MIGRATION}", "its story as Events"),
    ("kubectl explain migrationpolicy.spec.steps", "what a policy can say"),
    ("kubectl vmferry doctor", "is all there that migrations need"),
    ("vmferry-lab logs", "of the operator and the agents"),
    ("vmferry-lab down", "leave nothing behind"),
)
"""Commands, and what they show."""


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
        _say("The lab stays up. What you would type next:")
    else:
        lab.down()
        took = time.monotonic() - began
        _say(f"All gone again, {took:.0f} s after the start. With KEEP=1 it stays, and you would type next:")
    _tell_what_comes_next(command_line(lab.directory, "env"))


def _start_guest(lab: Lab) -> None:
    _say("A guest that writes 160 MB/s, over and over the same 64 MiB; the link will carry 50 MiB/s:")
    _command("vmferry-lab vm start db-1 --host node-a --dirty-rate 160M --working-set 64Mi")
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
    states = guest.settled_states(lab.hosts)
    verdict = guest.verdict()
    click.echo(f"  {', '.join(f'{state} on {host}' for host, state in states.items())}; {verdict}")
    _kubectl(lab, "get", "vmmig")
    if states != {"node-b": "running"} or not verdict.intact:
        raise LabError("the guest did not arrive intact on node-b")


def _tell_what_comes_next(environment: str) -> None:
    """What a person would type next; tests/e2e/test_docs.py does."""
    click.echo(f'  eval "$({environment})"')
    for command, what in _NEXT:
        click.echo(f"  {command:<64}# {what}")


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
