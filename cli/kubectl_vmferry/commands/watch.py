"""`kubectl vmferry watch`: migrations while they run."""

from collections.abc import Sequence

import click

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.following import Following
from kubectl_vmferry.cluster.objects import Cluster, Raw
from kubectl_vmferry.commands.following import exit_code, follow
from kubectl_vmferry.completion import migrations
from kubectl_vmferry.options import cluster_options, output_option, selector_option

_EXAMPLES = """\b
Examples:
  kubectl vmferry watch db-1-to-node-b
  kubectl vmferry watch -A
  kubectl vmferry watch -l tier=db -o json | jq .status.phase
\b
Exit codes:
  0    all that were named have succeeded
  1    one of them has not
  130  Ctrl-C: the migrations go on
"""


@click.command(
    "watch", short_help="Show migrations until they are over: how far, what comes next.", epilog=_EXAMPLES
)
@click.argument("names", nargs=-1, shell_complete=migrations)
@cluster_options(everywhere=True)
@selector_option
@output_option("json")
@click.pass_context
def watch_command(
    context: click.Context,
    /,
    *,
    access: Access,
    names: Sequence[str],
    selector: str | None,
    output: str | None,
) -> None:
    """Watch migrations: how far they are, what they need, what comes next and when.

    With names until those are over; else all of the namespace, until Ctrl-C. On a terminal the picture is live; in
    a pipe there is a line for each change. The API server may go away meanwhile: the watch waits for it.
    """
    if names and (access.all_namespaces or selector):
        raise click.UsageError("give names, or -A and -l")
    cluster = Cluster(connect(access))
    for name in names:
        cluster.migration(name)
    chosen = set(names)

    def wanted(raw: Raw) -> bool:
        return not chosen or raw["metadata"]["name"] in chosen

    following = Following(cluster, everywhere=access.all_namespaces, selector=selector, wanted=wanted)
    seen = follow(cluster, following, until_over=bool(names), output=output)
    context.exit(exit_code(seen))
