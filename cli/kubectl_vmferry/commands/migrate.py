"""`kubectl vmferry migrate`: ask for a live migration."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.following import Following, Seen
from kubectl_vmferry.cluster.objects import Cluster, Raw, read
from kubectl_vmferry.commands.following import exit_code, follow
from kubectl_vmferry.completion import nodes, policies, vms
from kubectl_vmferry.failures import (
    ConflictFailure,
    Failure,
    NotFoundFailure,
    UnreachableFailure,
    did_you_mean,
)
from kubectl_vmferry.options import cluster_options, output_option
from kubectl_vmferry.output.objects import FORMATS, show_objects
from kubectl_vmferry.overrides import Override
from kubectl_vmferry.views.standing import name as standing_name
from kubectl_vmferry.views.standing import phase
from vmferry_api import API_VERSION
from vmferry_api.migrations import Storage, VMMigration
from vmferry_api.names import MAX_LENGTH

_MOST_NAMES = 1000
_EXAMPLES = """\b
Examples:
  kubectl vmferry migrate db-1 --from node-a --to node-b
  kubectl vmferry migrate db-1 --from node-a --to node-b \\
    --policy post-copy --set maxDowntime=1s --wait
  kubectl vmferry migrate db-1 --from node-a --to node-b \\
    --dry-run -o yaml > migration.yaml
\b
Exit codes:
  0    asked for; with --wait: the VM has moved
  1    refused; with --wait: the VM has not moved
  2    the options are wrong
  3    the cluster can't be asked
  130  Ctrl-C while waiting: the migration goes on
"""


def read_labels(_context: click.Context, _option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Labels that are given as KEY=VALUE."""
    labels = {}
    for each in values:
        key, given, value = each.partition("=")
        if not given or not key:
            raise click.BadParameter(f"{each!r} is not key=value")
        labels[key] = value
    return labels


@click.command("migrate", epilog=_EXAMPLES)
@click.argument("vm", shell_complete=vms)
@click.option("--from", "source", required=True, metavar="NODE", shell_complete=nodes, help="Where it runs.")
@click.option(
    "--to", "target", required=True, metavar="NODE", shell_complete=nodes, help="Where it is to run."
)
@click.option(
    "--policy",
    metavar="NAME",
    shell_complete=policies,
    help="By this MigrationPolicy, whatever else would be selected.",
)
@click.option(
    "--set",
    "overrides",
    type=Override(),
    multiple=True,
    help="A tunable over the policy's, for this migration: maxDowntime=1s, bandwidth.perMigration=100Mi, …",
)
@click.option(
    "--copy-storage",
    is_flag=False,
    flag_value="all",
    type=click.Choice(["all", "incremental"]),
    help="Copy its disks, too: all of them, or what differs from the backing file. [default: they are shared]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=read_labels,
    metavar="KEY=VALUE",
    help="Policies may select by it.",
)
@click.option(
    "--name", metavar="NAME", help="Of the VMMigration. [default: VM-to-NODE, with a number if taken]"
)
@click.option("--ttl", metavar="DURATION", help="Delete the VMMigration so long after it has ended.")
@click.option(
    "--wait",
    is_flag=True,
    help="Show how it goes until it is over; with -o on the standard error, and the object at the end.",
)
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and create nothing.")
@cluster_options()
@output_option(*FORMATS)
@click.pass_context
def migrate_command(
    context: click.Context,
    /,
    *,
    access: Access,
    wait: bool,
    dry_run: bool,
    output: str | None,
    name: str | None,
    **asked: Any,  # noqa: ANN401 - the options of what is asked for
) -> None:
    """Move a VM from one node to another while it runs.

    VM is the name or UUID of a libvirt domain. How it is made to converge is for a MigrationPolicy to say: the one
    that selects it, or --policy. `kubectl vmferry explain VM` tells which that is.
    """
    if wait and dry_run:
        raise click.UsageError("--dry-run creates nothing that could be waited for")
    if asked["source"] == asked["target"]:
        raise click.UsageError(f"--from and --to are both {asked['source']}")
    cluster = Cluster(connect(access))
    names_must_exist(cluster, asked)
    for each in going_on(cluster, asked):
        click.echo(
            f"warning: {standing_name(each)} ({phase(each)}) migrates {asked['vm']} from {each.spec.source_node} "
            f"to {each.spec.target_node} already",
            err=True,
        )
    created = _create(cluster, name, asked, dry_run=dry_run)
    metadata = created["metadata"]
    if output is not None and not wait:
        show_objects([created], output)
    elif dry_run:
        click.echo(f"vmmigration.vmferry.io/{metadata['name']} would be created (checked by the API server)")
    else:
        click.echo(f"vmmigration.vmferry.io/{metadata['name']} created", err=output is not None)
    if not wait:
        return
    following = Following(cluster, wanted=lambda raw: bool(raw["metadata"]["uid"] == metadata["uid"]))
    if output is None:
        context.exit(exit_code(follow(cluster, following, until_over=True)))
    latest = [created]
    try:
        ended = follow(cluster, _noted(following, latest), until_over=True, beside=True)
    finally:
        show_objects(latest, output)
    context.exit(exit_code(ended))


def _noted(following: Iterable[Seen], latest: list[Raw]) -> Iterator[Seen]:
    """What is followed; the only one of it is kept as it was last."""
    for seen in following:
        latest[:] = [*seen.objects.values()] or ([seen.removed] if seen.removed else latest)
        yield seen


def names_must_exist(cluster: Cluster, asked: Mapping[str, Any]) -> None:
    """Refuse what the operator would find out as well, after a moment and for an object that nobody needs.

    Who may not look may ask for migrations all the same.

    Raises:
        Failure: There is no such policy, or no such node.
    """
    if asked["policy"] is not None:
        try:
            cluster.policy(asked["policy"])
        except (NotFoundFailure, UnreachableFailure):
            raise
        except Failure:
            pass
    try:
        known = cluster.nodes()
    except UnreachableFailure:
        raise
    except Failure:
        return
    for node in (asked["source"], asked["target"]):
        if node not in known:
            raise Failure(f"there is no Node {node}", did_you_mean(node, known))


def going_on(cluster: Cluster, asked: Mapping[str, Any]) -> list[VMMigration]:
    """Migrations of the same VM that are not over, as far as they may be seen."""
    for everywhere in (True, False):
        with suppress(Failure):
            nodes_asked = {asked["source"], asked["target"]}
            return [
                each
                for each in map(read, cluster.migrations(everywhere=everywhere))
                if not each.status.is_over
                and each.spec.vm == asked["vm"]
                and nodes_asked & {each.spec.source_node, each.spec.target_node}
            ]
    return []


def _create(cluster: Cluster, name: str | None, asked: Mapping[str, Any], *, dry_run: bool) -> Raw:
    base = name or migration_name(asked["vm"], asked["target"])
    for number in range(1, _MOST_NAMES):
        try:
            named = base if number == 1 else f"{base}-{number}"
            return cluster.create_migration(migration_body(named, asked), dry_run=dry_run)
        except ConflictFailure as error:
            if name is not None:
                raise ConflictFailure(error.message, "choose another --name") from error
    raise Failure(f"{_MOST_NAMES} VMMigrations are called like {base}", "delete old ones, or give --name")


def migration_name(vm: str, target: str) -> str:
    """A name that an object may have, made of the VM's, which may be any."""
    words = re.sub(r"[^a-z0-9.-]+", "-", vm.lower()).strip("-.") or "vm"
    words = re.sub(r"[-.]*\.[-.]*", ".", words)
    return f"{words}-to-{target}"[: MAX_LENGTH - len(str(_MOST_NAMES))].rstrip("-.")


def migration_body(name: str, asked: Mapping[str, Any]) -> Raw:
    """The VMMigration that is asked for.

    Args:
        name: Its name.
        asked: The options of the command.
    """
    storage = {"all": Storage.COPY_ALL, "incremental": Storage.COPY_INCREMENTAL}
    overrides: dict[str, Any] = {}
    for path, value in asked["overrides"]:
        inner = overrides
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    spec = {
        "vm": asked["vm"],
        "sourceNode": asked["source"],
        "targetNode": asked["target"],
        "policyRef": {"name": asked["policy"]} if asked["policy"] else None,
        "overrides": overrides or None,
        "storage": str(storage[asked["copy_storage"]]) if asked["copy_storage"] else None,
        "ttlAfterFinished": asked["ttl"],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "VMMigration",
        "metadata": {"name": name, **({"labels": asked["labels"]} if asked["labels"] else {})},
        "spec": {field: value for field, value in spec.items() if value is not None},
    }
