"""`kubectl vmferry cancel`: give migrations up; the VMs stay where they are."""

from collections.abc import Sequence

import click

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.following import Following
from kubectl_vmferry.cluster.objects import Cluster, Raw, read
from kubectl_vmferry.commands.following import follow
from kubectl_vmferry.completion import migrations
from kubectl_vmferry.failures import NEGATIVE, Failure
from kubectl_vmferry.options import cluster_options, selector_option
from kubectl_vmferry.views.standing import phase
from vmferry_api.migrations import Phase, VMMigration
from vmferry_operator.decisions.situations import in_post_copy

_EXAMPLES = """\b
Examples:
  kubectl vmferry cancel db-1-to-node-b --wait
  kubectl vmferry cancel -l tier=db
\b
Exit codes:
  0  all are being cancelled; with --wait: none of the VMs has moved
  1  one of them is over already, or in post-copy, which nothing can abort
"""


@click.command("cancel", epilog=_EXAMPLES)
@click.argument("names", nargs=-1, shell_complete=migrations)
@click.option("--wait", is_flag=True, help="Show how it goes until all are over.")
@cluster_options()
@selector_option
@click.pass_context
def cancel_command(
    context: click.Context,
    /,
    *,
    access: Access,
    names: Sequence[str],
    selector: str | None,
    wait: bool,
) -> None:
    """Give migrations up. The VMs go on where they are; the VMMigrations stay, and tell of it."""
    if bool(names) == bool(selector):
        raise click.UsageError("give names, or -l")
    cluster = Cluster(connect(access))
    chosen = [cluster.migration(name) for name in names] or cluster.migrations(selector=selector)
    if not chosen:
        raise Failure(f"no VMMigrations in namespace {cluster.namespace} have the labels {selector}")
    going = [each for each in chosen if not read(each).status.is_over]
    done = [_cancel(cluster, each) for each in chosen]
    if wait and going:
        uids = {each["metadata"]["uid"] for each in going}
        following = Following(cluster, wanted=lambda each: each["metadata"]["uid"] in uids)
        ended = follow(cluster, following, until_over=True)
        done.append(all(each.status.phase != Phase.SUCCEEDED for each in ended))
    if not all(done):
        context.exit(NEGATIVE)


def _cancel(cluster: Cluster, raw: Raw) -> bool:
    """Whether it will be cancelled."""
    migration = read(raw)
    name = migration.metadata.name
    if migration.status.is_over:
        click.echo(f"vmmigration.vmferry.io/{name} is over already: {phase(migration)}", err=True)
        return False
    cluster.change_migration(name, {"cancel": True})
    click.echo(f"vmmigration.vmferry.io/{name} is being cancelled{_but(migration)}")
    return not in_post_copy(migration)


def _but(migration: VMMigration) -> str:
    if not in_post_copy(migration):
        return ""
    return ", but it is in post-copy, which nothing can abort: it goes on to its end"
