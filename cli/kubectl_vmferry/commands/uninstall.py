"""`kubectl vmferry uninstall`: remove all migrations and policies, and the API, so that nothing is stuck."""

import time
from collections.abc import Sequence
from datetime import timedelta

import click

from kubectl_vmferry.cluster.connection import Access, connect
from kubectl_vmferry.cluster.objects import Cluster, Raw, read_in_part
from kubectl_vmferry.cluster.removing import Removal
from kubectl_vmferry.failures import Failure, NotFoundFailure
from kubectl_vmferry.options import cluster_options
from kubectl_vmferry.parameters import Duration
from kubectl_vmferry.uninstalling import Fate, Living, fate, is_refused, living, told, where_to_look
from kubectl_vmferry.views.standing import name
from vmferry_api.crd.definitions import DEFINITIONS
from vmferry_api.migrations import VMMigration

_EVERY = 1.0
"""Seconds between two looks."""
_CRDS = [each.name for each in DEFINITIONS]
_REST = (
    "What is left is of Kubernetes' own kinds: `helm uninstall` and the namespace, or, whatever was applied by "
    "kustomize, `kubectl delete namespaces,clusterroles,clusterrolebindings,priorityclasses,flowschemas,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings -l app.kubernetes.io/part-of=vmferry`"
)
_EXAMPLES = """\b
Examples:
  kubectl vmferry uninstall                        # what it would do
  kubectl vmferry uninstall --yes --cancel-running
\b
Exit codes:
  0  done; without --yes: nothing is in the way
  1  migrations are not over, or can't be let go; each is told with what it waits for
"""


@click.command(
    "uninstall", short_help="Remove all migrations, policies and the API, VMs untouched.", epilog=_EXAMPLES
)
@click.option("--yes", is_flag=True, help="Do it; without this it only tells what it would do.")
@click.option(
    "--cancel-running",
    "cancels",
    is_flag=True,
    help="Give up migrations that are not over; post-copy, which nothing can abort, is waited for.",
)
@click.option(
    "--abandon",
    "abandons",
    is_flag=True,
    help="Let go also what may be under way where neither operator nor agent lives, or whose status can't be "
    "read: look at the hosts first.",
)
@click.option(
    "--timeout",
    type=Duration(least=timedelta(seconds=1)),
    default="5m",
    show_default=True,
    help="How long to wait for migrations to end.",
)
@click.option(
    "--system-namespace",
    metavar="NAME",
    default="vmferry-system",
    show_default=True,
    help="Where vmferry's Leases are.",
)
@cluster_options()
def uninstall_command(
    *, access: Access, yes: bool, cancels: bool, abandons: bool, timeout: timedelta, system_namespace: str
) -> None:
    """Remove all VMMigrations and MigrationPolicies, and the API itself, so that no finalizer is left.

    VMs are not touched. The operator and the agents need not live; where they do, they end what runs. It also
    mends an installation whose `kubectl delete -k` hangs. What remains are objects of Kubernetes' own kinds.
    """
    connection = connect(access)
    installed = _Installed(Cluster(connection), Removal(connection), system_namespace)
    refused = [each for each in installed.look() if is_refused(each)]
    if not yes:
        _preview(installed)
    if refused and not cancels:
        raise Failure(f"not over: {', '.join(map(name, refused))}", "wait for that, or add --cancel-running")
    if yes:
        installed.remove(time.monotonic() + timeout.total_seconds(), abandons=abandons)
        click.echo(_REST)


class _Installed:
    """What is there, as seen last.

    Args:
        cluster: To look at it.
        removal: To delete it.
        system_namespace: Where the Leases are.
    """

    def __init__(self, cluster: Cluster, removal: Removal, system_namespace: str) -> None:
        self._cluster = cluster
        self._removal = removal
        self._system_namespace = system_namespace
        self._raws: dict[str, Raw] = {}
        self.migrations: list[VMMigration] = []
        self.alive = Living(operator=False, nodes=frozenset())
        self.now = cluster.now()

    def look(self) -> list[VMMigration]:
        """The migrations that there are now."""
        self.now = self._cluster.now()
        self.alive = living(self._cluster.leases(self._system_namespace), self.now)
        try:
            raws = self._cluster.migrations(everywhere=True)
        except NotFoundFailure:  # the API is gone already
            raws = []
        self._raws = {each["metadata"]["uid"]: each for each in raws}
        self.migrations = [read_in_part(each) for each in raws]
        return self.migrations

    def policies(self) -> int:
        """How many there are."""
        try:
            return len(self._cluster.policies())
        except NotFoundFailure:
            return 0

    def crds(self) -> list[str]:
        """Those of the API that are there."""
        there = {each["metadata"]["name"] for each in self._cluster.crds()}
        return [each for each in _CRDS if each in there]

    def remove(self, until: float, *, abandons: bool) -> None:
        """Remove the migrations, then the API; what comes meanwhile goes, too.

        Raises:
            Failure: Something is in the way.
        """
        for each in self.migrations:
            if each.metadata.deletion_timestamp is None:
                self._removal.delete(self._raws[each.metadata.uid])
        self._wait(until, abandons=abandons)
        for crd in self.crds():
            self._removal.delete_crd(crd)
        self._wait(until, abandons=abandons)
        while left := self.crds():
            if time.monotonic() > until:
                raise Failure(
                    f"still there: {', '.join(left)}", "`kubectl get crd -o yaml` tells what holds it"
                )
            time.sleep(_EVERY)
        for crd in _CRDS:
            click.echo(f"customresourcedefinition.apiextensions.k8s.io/{crd} is gone, with all its objects")

    def _wait(self, until: float, *, abandons: bool) -> None:
        """Until none is left, each let go as soon as it may be."""
        while self.look():
            waiting = [each for each in self.migrations if not self._let_go(each, abandons=abandons)]
            stuck = [each for each in waiting if fate(each, self.alive, self.now) is Fate.UNKNOWN]
            late = time.monotonic() > until
            if waiting and len(stuck) == len(waiting) and (late or not self.alive.operator):
                raise Failure(
                    "\n".join(["nobody can tell how these end:", *map(self.told, stuck), *map(_look, stuck)]),
                    _cure(stuck),
                )
            if waiting and late:
                raise Failure(
                    "\n".join(["these are not over yet:", *map(self.told, waiting)]),
                    "do this again when they are, or with a longer --timeout",
                )
            time.sleep(_EVERY)

    def _let_go(self, migration: VMMigration, *, abandons: bool) -> bool:
        """Whether it needs no waiting any more."""
        its = fate(migration, self.alive, self.now)
        if its is Fate.LET_GO or (its is Fate.UNKNOWN and abandons):
            done = self._removal.let_go(self._raws[migration.metadata.uid])
            if done:
                click.echo(f"{name(migration)}: let go without the operator")
            return done
        return False

    def told(self, migration: VMMigration) -> str:
        """One of them, in words."""
        return f"  {told(migration, self.alive, self.now)}"


def _look(migration: VMMigration) -> str:
    return f"  {where_to_look(migration)}"


def _cure(stuck: Sequence[VMMigration]) -> str:
    if any(each.has_unread_status for each in stuck):
        return (
            "use a plugin of the cluster's version (kubectl vmferry doctor); what that can't read either, "
            "--abandon lets go once you have looked"
        )
    return "start the operator or the agents, and do this again; or add --abandon once you have looked"


def _preview(installed: _Installed) -> None:
    migrations, crds = installed.migrations, installed.crds()
    click.echo("this would remove")
    going = [each for each in migrations if not each.status.is_over]
    click.echo(f"  VMMigrations: {len(migrations)}, not over: {len(going)}")
    for each in going:
        click.echo(f"  {installed.told(each)}")
    click.echo(f"  MigrationPolicies: {installed.policies()}")
    click.echo(f"  the API: {', '.join(crds) or 'it is gone already'}")
    click.echo(f"VMs are not touched. {_REST}.")
    click.echo("nothing is removed yet: add --yes")
