"""`kubectl vmferry policy diff`: what an edit changes, and for which migrations."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.objects import Cluster, read
from kubectl_vmferry.failures import NEGATIVE, Failure, UnusableFailure
from kubectl_vmferry.options import cluster_options, output_option
from kubectl_vmferry.output.objects import show_document
from kubectl_vmferry.output.terminal import show
from kubectl_vmferry.parameters import Contents, ReadFile
from kubectl_vmferry.policy_changes import Change, Consequence, consequences, field_changes
from kubectl_vmferry.policy_files import PolicyFileError, read_policies
from vmferry_api.policies import MigrationPolicy

_EXAMPLES = """\b
Examples:
  kubectl vmferry policy diff balanced.yaml
  kubectl vmferry policy diff old.yaml new.yaml --offline
\b
Exit codes, as kubectl diff has them:
  0  nothing differs
  1  something does
  2  a file can't be used, or the cluster refuses to tell
  3  the cluster can't be asked
"""

Policies = Mapping[str, MigrationPolicy]


@click.command("diff", short_help="Tell what an edit of policies changes, and for whom.", epilog=_EXAMPLES)
@click.argument("files", type=ReadFile(UnusableFailure), nargs=-1, required=True, metavar="[OLD] NEW")
@click.option("--offline", is_flag=True, help="Compare two files, and ask no cluster for migrations.")
@cluster_options()
@output_option("json", "yaml")
@click.pass_context
def diff_command(
    context: click.Context,
    /,
    *,
    access: Access,
    files: Sequence[Contents],
    offline: bool,
    output: str | None,
) -> None:
    """Tell what an edit of policies changes: which fields, and what follows for migrations that run or wait.

    With one file it is compared with the policies of the same names in the cluster. What follows is the operator's
    own decision, made on the migrations as they are now.
    """
    if len(files) > 2 or (offline and len(files) == 1):  # noqa: PLR2004 - an old and a new one
        raise click.UsageError("give OLD and NEW" if offline else "give NEW, or OLD and NEW")
    try:
        differs = _diff(access, files, offline=offline, output=output)
    except click.ClickException as error:
        if error.exit_code == NEGATIVE:
            raise UnusableFailure(error.message) from error  # 1 is that something differs
        raise
    if differs:
        context.exit(NEGATIVE)


def _diff(access: Access, files: Sequence[Contents], *, offline: bool, output: str | None) -> bool:
    """Show it; whether there is any."""
    new = _read(files[-1])
    cluster = None if offline else Cluster(connect(access))
    known = cluster.policies() if cluster is not None else []
    if len(files) > 1:
        old = _read(files[0])
    else:
        old = {each.metadata.name: each for each in known if each.metadata.name in new}
    names = sorted({*old, *new})
    changes = {
        each: field_changes(old[each].spec if each in old else None, new[each].spec if each in new else None)
        for each in names
    }
    changes = {each: found for each, found in changes.items() if found or (each in old) != (each in new)}
    following: list[Consequence] = []
    if cluster is not None and changes:
        migrations = [read(each) for each in cluster.migrations(everywhere=True)]
        edited = {each: new.get(each) for each in changes}
        following = consequences(
            edited, migrations, known, _namespaces(cluster), now=datetime.now().astimezone()
        )
    if output is not None:
        _document(changes, following, output)
    else:
        _show(changes, following, old, new, offline=offline)
    return bool(changes)


def _namespaces(cluster: Cluster) -> Mapping[str, Mapping[str, str]]:
    """None where they may not be listed: then what depends on their labels is told as not known."""
    try:
        return cluster.namespaces()
    except Failure:
        return {}


def _read(file: Contents) -> Policies:
    try:
        return {each.policy.metadata.name: each.policy for each in read_policies([(file.name, file.text())])}
    except PolicyFileError as error:
        raise Failure(str(error), f"see `kubectl vmferry policy lint {file.name}`") from error


def _document(changes: Mapping[str, Sequence[Change]], following: Sequence[Consequence], output: str) -> None:
    show_document(
        {
            "policies": {each: [asdict(change) for change in found] for each, found in changes.items()},
            "migrations": {each.migration: list(each.changes) for each in following},
        },
        output,
    )


def _show(
    changes: Mapping[str, Sequence[Change]],
    following: Sequence[Consequence],
    old: Policies,
    new: Policies,
    *,
    offline: bool,
) -> None:
    if not changes:
        click.echo("nothing differs")
        return
    for each, found in changes.items():
        kind = "changed" if each in old and each in new else ("new" if each in new else "removed")
        show(Text(f"MigrationPolicy {each}: {kind}", style="bold"))
        if kind != "removed":
            show(_fields(found))
    if not offline:
        _show_consequences(following)


def _fields(changes: Sequence[Change]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(overflow="fold")
    for each in changes:
        was, becomes = Text(each.old or "-", style="red"), Text(f"→ {each.new or '-'}", style="green")
        table.add_row(f"  {each.field}", was, becomes, each.effect)
    return table


def _show_consequences(following: Sequence[Consequence]) -> None:
    show(Text("\nMigrations that run or wait", style="bold"))
    for each in following:
        show(Text(f"  {each.migration}"))
        for text in each.changes:
            show(Text(f"    {text}"))
    if not following:
        show(Text("  none is concerned"))
