"""Showing migrations until they are over: live on a terminal, else a line for each change."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import click
from rich.live import Live

from kubectl_vmferry.cluster.following import Seen
from kubectl_vmferry.cluster.objects import Cluster, Raw, read
from kubectl_vmferry.failures import INTERRUPTED, INTERRUPTED_WORDS, NEGATIVE, Failure
from kubectl_vmferry.output.objects import json_line
from kubectl_vmferry.output.terminal import console
from kubectl_vmferry.views.changes import changes
from kubectl_vmferry.views.screen import Specs, screen
from kubectl_vmferry.views.standing import name, phase
from vmferry_api.migrations import Phase, VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.select import with_overrides

_REFRESHES = 4
"""A second."""


class Shown:
    """What has been seen of the migrations, for whatever shows it.

    Args:
        cluster: To look policies up.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._policies: Mapping[str, MigrationPolicy] = {}
        self._asked_for: set[tuple[str, int | None]] = set()
        self.migrations: list[VMMigration] = []
        self.lost = ""
        self.ended: dict[str, VMMigration] = {}
        """Those that were seen last before they were deleted, by uid."""

    def take(self, seen: Seen) -> None:
        """Take in what was seen."""
        self.lost = seen.lost
        self.migrations = [read(raw) for raw in seen.objects.values()]
        if seen.removed is not None:
            gone = read(seen.removed)
            self.ended[gone.metadata.uid] = gone
        self._look_policies_up()

    @property
    def specs(self) -> Specs:
        """The policies in force, with overrides."""
        found = {}
        for each in self.migrations:
            policy = self._policies.get(each.status.policy.name) if each.status.policy else None
            if policy is not None:
                found[each.metadata.uid] = with_overrides(policy.spec, each.spec.overrides)
        return found

    def _look_policies_up(self) -> None:
        """Once for each version of a policy that is told to be in force; it is told without them, too."""
        wanted = {
            (each.status.policy.name, each.status.policy.generation)
            for each in self.migrations
            if each.status.policy is not None and not each.status.is_over
        }
        if wanted <= self._asked_for or self.lost:
            return
        self._asked_for |= wanted
        try:
            self._policies = {each.metadata.name: each for each in self._cluster.policies()}
        except Failure:
            return


def follow(
    cluster: Cluster,
    following: Iterable[Seen],
    *,
    until_over: bool,
    output: str | None = None,
    beside: bool = False,
) -> list[VMMigration]:
    """Show them until all are over, or for ever; those that there were, as seen last.

    Ctrl-C ends the showing alone.

    Args:
        cluster: The cluster.
        following: What to follow.
        until_over: End once all of them are over.
        output: json: each version of each of them as a line.
        beside: In lines on the standard error: something else goes to the standard output.
    """
    shown = Shown(cluster)
    try:
        terminal = console()
        if output == "json" or beside or not terminal.is_terminal:
            _in_lines(following, shown, until_over=until_over, as_json=output == "json", beside=beside)
        else:
            _live(following, shown, until_over=until_over)
    except KeyboardInterrupt:
        _tell_interrupted(shown.migrations)
        raise click.exceptions.Exit(INTERRUPTED) from None
    return [*shown.migrations, *shown.ended.values()]


def exit_code(migrations: Iterable[VMMigration]) -> int:
    """0: all have succeeded, and there is one."""
    phases = {each.status.phase for each in migrations}
    return 0 if phases == {Phase.SUCCEEDED} else NEGATIVE


def _over(shown: Shown) -> bool:
    """Whether none goes on: each look shows all that there are."""
    return all(each.status.is_over for each in shown.migrations)


def _live(following: Iterable[Seen], shown: Shown, *, until_over: bool) -> None:
    terminal = console()

    def renderable() -> object:
        note = f"{shown.lost}; trying again" if shown.lost else ""
        return screen(
            shown.migrations,
            shown.specs,
            now=datetime.now().astimezone(),
            rows=terminal.size.height,
            columns=terminal.size.width,
            note=note,
        )

    with Live(
        get_renderable=renderable,  # type: ignore[arg-type]
        console=terminal,
        refresh_per_second=_REFRESHES,
        vertical_overflow="crop",
    ) as live:
        for seen in following:
            shown.take(seen)
            if until_over and _over(shown):
                break
        live.refresh()
    for each in shown.ended.values():
        terminal.print(f"{name(each)}: deleted; last seen: {phase(each)}")


def _in_lines(
    following: Iterable[Seen], shown: Shown, *, until_over: bool, as_json: bool, beside: bool
) -> None:
    err = as_json or beside
    before: dict[str, VMMigration] = {}
    lost = ""
    for seen in following:
        shown.take(seen)
        if seen.lost != lost:
            lost = seen.lost
            _say(None, f"{lost}; trying again" if lost else "the API server is back", err=err)
        if seen.removed is not None:
            _say(read(seen.removed), "deleted", err=err)
        if seen.changed is not None:
            _tell(seen.objects[seen.changed], before, as_json=as_json, err=err)
        if until_over and _over(shown):
            return


def _tell(raw: Raw, before: dict[str, VMMigration], *, as_json: bool, err: bool) -> None:
    if as_json:
        click.echo(json_line(raw))
        return
    migration = read(raw)
    uid = migration.metadata.uid
    for line in changes(before.get(uid), migration):
        _say(migration, line, err=err)
    before[uid] = migration


def _say(migration: VMMigration | None, text: str, *, err: bool) -> None:
    """A line with the time."""
    subject = f"{name(migration)}  " if migration is not None else ""
    click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {subject}{text}", err=err)


def _tell_interrupted(migrations: Iterable[VMMigration]) -> None:
    seen = list(migrations)
    going = [each for each in seen if not each.status.is_over]
    if not going:
        if not seen:
            click.echo(f"\n{INTERRUPTED_WORDS}", err=True)
        return
    first = going[0]
    names = ", ".join(name(each) for each in going)
    place = f"-n {first.metadata.namespace} {first.metadata.name}"
    goes = "goes" if len(going) == 1 else "go"
    click.echo(
        f"\n{names} {goes} on without this command. To look again: kubectl vmferry watch {place}; to end it: "
        f"kubectl vmferry cancel {place}",
        err=True,
    )
