"""`kubectl vmferry doctor`: whether all that migrations need is there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.cluster.certificates import LIBVIRT_TLS, shown_by, tls_address
from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.objects import Cluster, Raw, read
from kubectl_vmferry.diagnosis.admission import admission
from kubectl_vmferry.diagnosis.api import crds, server
from kubectl_vmferry.diagnosis.certificates import expiry
from kubectl_vmferry.diagnosis.findings import Finding, Level, error, note, warning
from kubectl_vmferry.diagnosis.hosts import hosts, links, troubles
from kubectl_vmferry.diagnosis.pods import SELECTOR, agents_by_node, pods
from kubectl_vmferry.diagnosis.policies import policies
from kubectl_vmferry.diagnosis.processes import agents, operator
from kubectl_vmferry.failures import NEGATIVE, Failure, NotFoundFailure, UnreachableFailure
from kubectl_vmferry.options import cluster_options, output_option
from kubectl_vmferry.output.objects import show_document
from kubectl_vmferry.output.terminal import show
from vmferry_agent.decisions.certificates import not_after
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy

_MARKS = {
    Level.OK: ("✔", "green"),
    Level.NOTE: ("·", "dim"),
    Level.WARNING: ("!", "bold yellow"),
    Level.ERROR: ("✘", "bold red"),
}
_EXAMPLES = """\b
Exit codes:
  0  nothing is wrong; there may be warnings
  1  something is; each finding names its cure
  3  the cluster can't be asked
"""


@click.command("doctor", short_help="Look whether all that migrations need is there.", epilog=_EXAMPLES)
@click.option(
    "--system-namespace",
    metavar="NAME",
    default="vmferry-system",
    show_default=True,
    help="Where vmferry's Leases and Pods are.",
)
@cluster_options()
@output_option("json", "yaml")
@click.pass_context
def doctor_command(
    context: click.Context, /, *, access: Access, system_namespace: str, output: str | None
) -> None:
    """Look whether all that migrations need is there: API, operator, agents, hosts, policies, certificates.

    What the hosts can do is what they have told in migrations; a host that none has concerned yet is not known.
    """
    cluster = Cluster(connect(access))
    findings = list(_examine(cluster, system_namespace, cluster.now()))
    if output is not None:
        show_document([asdict(each) | {"level": str(each.level)} for each in findings], output)
    else:
        _show(findings)
    if any(each.level == Level.ERROR for each in findings):
        context.exit(NEGATIVE)


def _show(findings: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        mark, style = _MARKS[each.level]
        text = Text(each.message)
        if each.cure and each.level != Level.OK:
            text.append(f"\n→ {each.cure}", style="bold")
        table.add_row(Text(mark, style=style), each.subject, text)
    show(table)
    counted = {level: sum(each.level == level for each in findings) for level in (Level.ERROR, Level.WARNING)}
    bad = [f"{number} {level}{'s' if number > 1 else ''}" for level, number in counted.items() if number]
    show(Text(f"\n{' and '.join(bad) if bad else 'nothing is wrong'}"))


def _examine(cluster: Cluster, system_namespace: str, now: datetime) -> Iterator[Finding]:
    """One after the other; what may not be asked is told, and the rest is asked all the same."""
    yield server(cluster.version())
    yield from _certificates(cluster, now)
    yield from _asked("CRDs", lambda: crds(cluster.crds()))
    yield from _asked("admission", lambda: admission(*cluster.admission(), system_namespace))
    found: list[MigrationPolicy] = []
    migrations: list[VMMigration] = []
    troubled = [
        *_asked("policies", lambda: found.extend(cluster.policies())),
        *_asked("migrations", lambda: migrations.extend(_migrations(cluster))),
    ]
    yield from troubled
    running: list[Raw] = []
    untold = list(_asked("pods", lambda: running.extend(cluster.pods(system_namespace, SELECTOR))))
    yield from _processes(cluster, system_namespace, found, migrations, now, running=running)
    yield from untold
    yield from pods(running, now)
    if not any(each.subject == "policies" for each in troubled):
        yield from policies(found)
    yield from hosts(migrations, found)
    yield from links(migrations)
    yield from troubles(migrations)
    yield from _libvirt_certificates(migrations, now)


def _nodes(cluster: Cluster) -> list[str]:
    """None where they may not be listed: agents are known by their Leases."""
    try:
        return cluster.nodes()
    except UnreachableFailure:
        raise
    except Failure:
        return []


def _migrations(cluster: Cluster) -> list[VMMigration]:
    """All; those of the namespace where no others may be seen."""
    try:
        found = cluster.migrations(everywhere=True)
    except (UnreachableFailure, NotFoundFailure):
        raise
    except Failure:
        found = cluster.migrations()
    return [read(each) for each in found]


def _asked(subject: str, ask: Callable[[], Iterable[Finding] | None]) -> Iterator[Finding]:
    try:
        yield from ask() or ()
    except UnreachableFailure:
        raise
    except NotFoundFailure as failure:
        yield error(subject, failure.message, "see above")
    except Failure as failure:
        yield warning(subject, f"can't be looked at: {failure.message}", "ask as somebody who may")


def _processes(
    cluster: Cluster,
    system_namespace: str,
    found: Sequence[MigrationPolicy],
    migrations: Sequence[VMMigration],
    now: datetime,
    *,
    running: Sequence[Raw],
) -> Iterator[Finding]:
    leases: list[Raw] = []

    def look() -> Iterator[Finding]:
        leases.extend(cluster.leases(system_namespace))
        yield from agents(leases, _nodes(cluster), migrations, now, pods=agents_by_node(running))

    agents_found = list(_asked("agents", look))
    yield operator(leases, found, migrations, now)
    yield from agents_found


def _certificates(cluster: Cluster, now: datetime) -> Iterator[Finding]:
    """Those that this connection itself stands on."""
    address = tls_address(cluster.host, scheme="https", port=443)
    if address is not None:
        yield from _shown("certificate of the API server", address, now, "renew it (kubeadm certs renew)")
    own = cluster.configuration.cert_file
    if own:
        yield from _dated("your client certificate", lambda: Path(own).read_text(), now, "log in again")


def _libvirt_certificates(migrations: Sequence[VMMigration], now: datetime) -> Iterator[Finding]:
    uris = {
        each.spec.target_node: each.status.target.connect_uri
        for each in migrations
        if each.status.target is not None and each.status.target.connect_uri is not None
    }
    for node, uri in sorted(uris.items()):
        address = tls_address(uri, scheme="qemu+tls", port=LIBVIRT_TLS)
        if address is not None:
            subject = f"certificate of libvirt on {node}"
            yield from _shown(
                subject,
                address,
                now,
                "renew it; virt-admin server-update-tls libvirtd",
            )
    if uris and not any(uri.startswith("qemu+tls") for uri in uris.values()):
        yield note("certificates of libvirt", "not used: the hosts reach each other without TLS")


def _shown(subject: str, address: tuple[str, int], now: datetime, cure: str) -> Iterator[Finding]:
    certificate = shown_by(*address)
    if certificate is None:
        yield note(subject, f"not known: {address[0]}:{address[1]} shows none from here")
        return
    yield from _dated(subject, lambda: certificate, now, cure)


def _dated(subject: str, load: Callable[[], Any], now: datetime, cure: str) -> Iterator[Finding]:
    try:
        yield expiry(subject, not_after(load()), now, cure)
    except (OSError, ValueError) as failure:
        yield note(subject, f"not known: {failure}")
