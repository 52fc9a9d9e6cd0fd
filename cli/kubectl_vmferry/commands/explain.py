"""`kubectl vmferry explain`: which policy applies, why, why not the others, and what it does."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.objects import Cluster, read
from kubectl_vmferry.commands.migrate import read_labels
from kubectl_vmferry.completion import policies, vms_and_migrations
from kubectl_vmferry.failures import NEGATIVE
from kubectl_vmferry.options import cluster_options, output_option
from kubectl_vmferry.output.objects import show_document
from kubectl_vmferry.output.terminal import show
from kubectl_vmferry.views.policy_words import in_words
from kubectl_vmferry.views.selection import Choice, by_reason, choice
from kubectl_vmferry.views.standing import name as full_name
from kubectl_vmferry.views.upcoming import expected_in_words, next_in_words
from vmferry_api.migrations import VMMigration
from vmferry_operator.decisions.check import Conflict, host_conflicts
from vmferry_operator.decisions.select import NoSelection, Selection

_NAMES = 52
"""Columns for those that are passed over for the same reason."""
_EXAMPLES = """\b
Examples:
  kubectl vmferry explain db-1-to-node-b
  kubectl vmferry explain db-1 --label tier=db
\b
Exit codes:
  0  a policy applies, and can be carried out as far as is known
  1  none can be named, or the hosts can't carry it out
"""


@click.command("explain", short_help="Tell which policy applies, and why not the others.", epilog=_EXAMPLES)
@click.argument("name", metavar="NAME|VM", shell_complete=vms_and_migrations)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=read_labels,
    metavar="KEY=VALUE",
    help="Of a VMMigration that is yet to be: policies may select by it.",
)
@click.option("--policy", metavar="NAME", shell_complete=policies, help="As if spec.policyRef named it.")
@cluster_options()
@output_option("json", "yaml")
@click.pass_context
def explain_command(
    context: click.Context,
    /,
    *,
    access: Access,
    name: str,
    labels: Mapping[str, str],
    policy: str | None,
    output: str | None,
) -> None:
    """Tell which policy applies, why this one and not the others, and what it does.

    NAME is a VMMigration's; any other word is taken for a VM that is yet to be migrated. Nothing is changed.
    """
    cluster = Cluster(connect(access))
    migration, found = _subject(cluster, name, labels, policy)
    made = choice(migration, cluster.policies(), cluster.namespace_labels())
    conflicts = _conflicts(migration, made.selection)
    if output is not None:
        show_document(_document(migration, made, conflicts), output)
    else:
        show(_shown(migration, made, conflicts, found=found))
    if isinstance(made.selection, NoSelection) or any(not each.degrades for each in conflicts):
        context.exit(NEGATIVE)


def _subject(
    cluster: Cluster, name: str, labels: Mapping[str, str], policy: str | None
) -> tuple[VMMigration, bool]:
    """The migration of this name, or one of this VM as it would be; whether it is there."""
    known = [read(raw) for raw in cluster.migrations()]
    named = next((each for each in known if each.metadata.name == name), None)
    of_vm = [each for each in known if each.spec.vm == name]
    if named is None and of_vm:  # what was said of the VM last holds for it again
        last = max(of_vm, key=lambda each: str(each.metadata.creation_timestamp))
        labels = {**last.metadata.labels, **labels}
    if named is not None:
        changed = {"policyRef": {"name": policy}} if policy else {}
        spec = type(named.spec).model_validate({**named.spec.as_json(), **changed})
        metadata = named.metadata.replace(labels={**named.metadata.labels, **labels})
        return named.replace(spec=spec, metadata=metadata), True
    spec_json = {"vm": name, "sourceNode": "its-node", "targetNode": "another-node"}
    body = {
        "metadata": {"name": name, "namespace": cluster.namespace, "labels": dict(labels)},
        "spec": {**spec_json, **({"policyRef": {"name": policy}} if policy else {})},
    }
    return VMMigration.model_validate(body), False


def _conflicts(migration: VMMigration, selection: Selection | NoSelection) -> list[Conflict]:
    if isinstance(selection, NoSelection):
        return []
    return host_conflicts(selection.spec, migration.status.source, migration.status.target)


def _memory(migration: VMMigration) -> int | None:
    source = migration.status.source
    return source.vm.memory if source is not None and source.vm is not None else None


def _document(migration: VMMigration, made: Choice, conflicts: Sequence[Conflict]) -> object:
    selection = made.selection
    chosen: dict[str, object] = (
        {"reason": selection.reason, "message": selection.message}
        if isinstance(selection, NoSelection)
        else {
            "policy": selection.name,
            "why": selection.why,
            "does": in_words(selection.spec, _memory(migration)),
        }
    )
    held = migration.status.policy
    return {
        "vm": migration.spec.vm,
        **chosen,
        "inForce": held.as_json() if held is not None else None,
        "notTheOthers": {each.policy: each.why for each in made.verdicts if not each.chosen},
        "conflicts": [each.message for each in conflicts],
    }


def _shown(
    migration: VMMigration, made: Choice, conflicts: Sequence[Conflict], *, found: bool
) -> RenderableType:
    spec, selection = migration.spec, made.selection
    who = f"a migration of VM {spec.vm} that is yet to be, in namespace {migration.metadata.namespace}"
    if found:
        who = f"{full_name(migration)}: {spec.vm}, {spec.source_node} → {spec.target_node}"
    labels = ", ".join(f"{key}={value}" for key, value in migration.metadata.labels.items()) or "no labels"
    parts: list[RenderableType] = [Text(f"{who} ({labels})", style="bold"), Text("")]
    if isinstance(selection, NoSelection):
        parts.append(Text(f"No policy applies: {selection.message}", style="red"))
    else:
        first = made.verdicts[0]
        parts.append(Text.assemble(("Policy  ", "dim"), (selection.name, "bold green"), f": {first.why}"))
    parts += _held(migration, selection)
    parts += [Text("\nNot the others", style="bold underline"), _others(made)]
    if isinstance(selection, Selection):
        parts.append(Text("\nWhat it does", style="bold underline"))
        parts += [Text(f"  {line}") for line in in_words(selection.spec, _memory(migration))]
    if conflicts:
        parts.append(Text("\nWhat these hosts can't do of it", style="bold underline red"))
        parts += [Text(f"  {each.message}") for each in conflicts]
    parts += _now(migration, selection)
    return Group(*parts)


def _held(migration: VMMigration, selection: Selection | NoSelection) -> list[RenderableType]:
    """What is in force where that is another policy than would be selected now."""
    held = migration.status.policy
    same = isinstance(selection, Selection) and held is not None and held.name == selection.name
    if held is None or same:
        return []
    return [
        Text(f"In force is {held.name} ({held.why}): an attempt keeps its policy to its end.", style="yellow")
    ]


def _others(made: Choice) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", max_width=_NAMES)
    table.add_column(overflow="fold")
    for why, names in by_reason(made.verdicts):
        table.add_row(", ".join(names), why)
    if not table.row_count:
        table.add_row("there are none", "")
    return Padding(table, (0, 0, 0, 2))


def _now(migration: VMMigration, selection: Selection | NoSelection) -> list[RenderableType]:
    now = datetime.now().astimezone()
    policy = selection.spec if isinstance(selection, Selection) else None
    told = [
        (title, text)
        for title, text in (
            ("next", next_in_words(migration, policy, now)),
            ("forecast", expected_in_words(migration, now)),
        )
        if text
    ]
    if not told:
        return []
    return [Text("\nNow", style="bold underline"), *(Text(f"  {title}: {text}") for title, text in told)]
