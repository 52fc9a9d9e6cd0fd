"""`kubectl vmferry describe`: one migration, from the question to the end."""

from collections.abc import Sequence
from datetime import datetime

import click
from rich.rule import Rule

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.following import Seen
from kubectl_vmferry.cluster.objects import Cluster, read
from kubectl_vmferry.commands.following import Shown
from kubectl_vmferry.completion import migrations
from kubectl_vmferry.options import cluster_options, output_option
from kubectl_vmferry.output.objects import FORMATS, show_objects
from kubectl_vmferry.output.terminal import show
from kubectl_vmferry.views.description import description


@click.command("describe", short_help="Tell all of a migration, and what you can do now.")
@click.argument("names", nargs=-1, required=True, shell_complete=migrations)
@cluster_options()
@output_option(*FORMATS)
def describe_command(*, access: Access, names: Sequence[str], output: str | None) -> None:
    """Tell all of a migration: what was done, when and why, what both hosts see, and what you can do now."""
    cluster = Cluster(connect(access))
    raws = [cluster.migration(name) for name in names]
    if output is not None:
        show_objects(raws, output)
        return
    shown = Shown(cluster)
    shown.take(Seen(objects={raw["metadata"]["uid"]: raw for raw in raws}))
    specs = shown.specs
    for place, raw in enumerate(raws):
        if place:
            show(Rule())
        migration = read(raw)
        show(description(migration, specs.get(migration.metadata.uid), datetime.now().astimezone()))
