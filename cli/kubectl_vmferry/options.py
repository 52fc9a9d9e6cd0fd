"""Options that several commands have, as kubectl has them."""

import functools
from collections.abc import Callable
from typing import Any

import click

from kubectl_vmferry.completion import contexts, namespaces

Command = Callable[..., Any]


def cluster_options(*, everywhere: bool = False) -> Callable[[Command], Command]:
    """-n, --context and --kubeconfig, and -A where it makes sense; the command gets them as `access`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_access(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - click's
            from kubectl_vmferry.cluster.connection import Access  # noqa: PLC0415 - the client loads slowly

            access = Access(
                kubeconfig=given.pop("kubeconfig"),
                context=given.pop("kube_context"),
                namespace=given.pop("namespace"),
                all_namespaces=given.pop("all_namespaces", False),
            )
            return command(*args, access=access, **given)

        options = [
            click.option(
                "-n", "--namespace", metavar="NAME", shell_complete=namespaces, help="Default: the context's."
            ),
            click.option(
                "--context",
                "kube_context",
                metavar="NAME",
                shell_complete=contexts,
                help="Of the kubeconfig.",
            ),
            click.option("--kubeconfig", metavar="FILE", help="Default: $KUBECONFIG, or ~/.kube/config."),
        ]
        if everywhere:
            options.insert(
                1, click.option("-A", "--all-namespaces", is_flag=True, help="Those of all namespaces.")
            )
        decorated: Command = with_access
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def output_option(*formats: str) -> Callable[[Command], Command]:
    """-o with the formats that a command has."""
    return click.option("-o", "--output", type=click.Choice(formats), help="Instead of the text for people.")


def selector_option(command: Command) -> Command:
    """-l: a label selector."""
    return click.option("-l", "--selector", metavar="LABELS", help="Those with these labels: key=value,…")(
        command
    )
