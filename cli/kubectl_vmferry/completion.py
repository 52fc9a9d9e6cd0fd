"""What the shell can complete: commands, options, and the names of what the cluster has.

Nothing is said where the cluster can't be asked: a completion has no place for errors.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete

FILES, NO_FILES = ":0", ":4"
"""What kubectl is told beside the words (cobra's ShellCompDirective): files may be completed, or not."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _names(of: Callable[[click.Context], Sequence[str]]) -> Complete:
    """Complete one of the names that are found, and that are not given yet."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: Sequence[str] = ()
        with contextlib.suppress(Exception):
            found = of(context)
        given = context.params.get(parameter.name or "") or ()
        return [
            CompletionItem(name)
            for name in sorted({*found})
            if name.startswith(incomplete) and name not in given
        ]

    return complete


def _cluster(context: click.Context):  # type: ignore[no-untyped-def]  # noqa: ANN202 - loaded when it is needed
    from kubectl_vmferry.cluster.connection import Access, connect  # noqa: PLC0415
    from kubectl_vmferry.cluster.objects import Cluster  # noqa: PLC0415

    given = context.params
    access = Access(
        kubeconfig=given.get("kubeconfig"),
        context=given.get("kube_context"),
        namespace=given.get("namespace"),
    )
    return Cluster(connect(access))


def _contexts(context: click.Context) -> Sequence[str]:
    from kubernetes import config  # noqa: PLC0415

    found, _ = config.list_kube_config_contexts(config_file=context.params.get("kubeconfig"))
    return [each["name"] for each in found]


migrations = _names(lambda context: [each["metadata"]["name"] for each in _cluster(context).migrations()])
vms_and_migrations = _names(
    lambda context: [
        name
        for each in _cluster(context).migrations()
        for name in (each["metadata"]["name"], each["spec"]["vm"])
    ]
)
vms = _names(lambda context: [each["spec"]["vm"] for each in _cluster(context).migrations()])
policies = _names(lambda context: [each.metadata.name for each in _cluster(context).policies()])
nodes = _names(lambda context: _cluster(context).nodes())
namespaces = _names(lambda context: _cluster(context).namespaces())
contexts = _names(_contexts)


def for_kubectl(command: click.Command, words: Sequence[str]) -> list[str]:
    """The answer to kubectl, which runs `kubectl_complete-vmferry` with the words typed so far.

    Args:
        command: The plugin.
        words: The last one is incomplete, and may be empty.
    """
    *before, incomplete = words or [""]
    found = ShellComplete(command, {}, "kubectl vmferry", "").get_completions(list(before), incomplete)
    values = [
        f"{each.value}\t{each.help}" if each.help else each.value for each in found if each.type == "plain"
    ]
    return [*values, FILES if any(each.type != "plain" for each in found) else NO_FILES]


def kubectl_complete() -> None:
    """The program `kubectl_complete-vmferry`."""
    from kubectl_vmferry.main import main  # noqa: PLC0415 - it imports what is here

    for line in for_kubectl(main, sys.argv[1:]):
        click.echo(line)
