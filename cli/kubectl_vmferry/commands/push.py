"""`kubectl vmferry push`: have a migration end now."""

from datetime import datetime, timedelta

import click

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.following import Following
from kubectl_vmferry.cluster.objects import Cluster, read
from kubectl_vmferry.commands.following import exit_code, follow
from kubectl_vmferry.completion import migrations
from kubectl_vmferry.failures import Failure
from kubectl_vmferry.options import cluster_options
from kubectl_vmferry.parameters import Duration
from kubectl_vmferry.pushing import Refused, push
from vmferry_api.durations import parse_duration
from vmferry_api.policies import MAX_DOWNTIME

_EXAMPLES = """\b
Examples:
  kubectl vmferry push db-1-to-node-b
  kubectl vmferry push db-1-to-node-b --max-downtime 2s --wait
  kubectl vmferry push db-1-to-node-b --allow-postcopy
\b
Exit codes:
  0  pushed; with --wait: the VM has moved
  1  there is nothing that the policy allows, or it is over
"""


@click.command("push", epilog=_EXAMPLES)
@click.argument("name", shell_complete=migrations)
@click.option(
    "--max-downtime",
    "most",
    type=Duration(least=timedelta(milliseconds=1), most=parse_duration(MAX_DOWNTIME)),
    help="Grant this stop, whatever the policy says.",
)
@click.option(
    "--allow-postcopy",
    "post_copy",
    is_flag=True,
    help="Switch to post-copy, whatever the policy says: it ends for certain, but nothing can abort it then, and "
    "the loss of either host loses the VM.",
)
@click.option("--wait", is_flag=True, help="Show how it goes until it is over.")
@cluster_options()
@click.pass_context
def push_command(
    context: click.Context,
    /,
    *,
    access: Access,
    name: str,
    most: timedelta | None,
    post_copy: bool,
    wait: bool,
) -> None:
    """Have a migration end now, as far as its policy allows.

    What the policy would come to at last is granted at once: its highest downtime and bandwidth, by
    spec.overrides; or its post-copy where no downtime that it grants would do, by spec.policyRef. The two options
    go further than the policy does, for this migration alone.
    """
    if most is not None and post_copy:
        raise click.UsageError("give --max-downtime or --allow-postcopy")
    cluster = Cluster(connect(access))
    raw = cluster.migration(name)
    made = push(
        read(raw), cluster.policies(), most=most, post_copy=post_copy, now=datetime.now().astimezone()
    )
    if isinstance(made, Refused):
        raise Failure(f"VMMigration {cluster.namespace}/{name} is not pushed: {made.why}", made.cure)
    if made.create is not None:
        cluster.create_policy(made.create)
        click.echo(f"migrationpolicy.vmferry.io/{made.create['metadata']['name']} created")
    cluster.change_migration(name, made.spec)
    click.echo(f"vmmigration.vmferry.io/{name} pushed: {made.says}")
    if wait:
        uid = raw["metadata"]["uid"]
        following = Following(cluster, wanted=lambda each: bool(each["metadata"]["uid"] == uid))
        context.exit(exit_code(follow(cluster, following, until_over=True)))
