"""What an edit of a policy changes: its fields, and what follows for migrations that run or wait."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

from kubectl_vmferry.views.standing import name
from vmferry_api.migrations import Desired, VMMigration
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec
from vmferry_operator.decisions.plan import plan
from vmferry_operator.decisions.select import NoSelection, Selection, select_policy, with_overrides
from vmferry_operator.decisions.situations import situation

_AT_ONCE = "running migrations: at once"
_EFFECTS = {
    "description": "nothing else",
    "globalDefault": "what is selected from now on",
    "selector": "what is selected from now on",
    "priority": "what is selected from now on",
    "concurrency": "who may start from now on",
    "queuePriority": "who may start from now on",
    "retry": "after the next failure",
    "restartOnEdit": "the next edit of start",
}
_NOT_TOLD = {"revision", "reason", "time", "reportEvery", "share"}
"""Of what is desired: what follows by itself."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A field that differs."""

    field: str
    old: str | None
    """None: it was not there."""
    new: str | None
    """None: it is no longer there."""
    effect: str
    """On what it acts, and when."""


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What follows for a migration."""

    migration: str
    changes: Sequence[str]


def field_changes(old: MigrationPolicySpec | None, new: MigrationPolicySpec | None) -> list[Change]:
    """The fields that differ; None: there is no such policy."""
    before, after = _fields(old), _fields(new)
    restarts = new is not None and new.restart_on_edit
    changed = [
        Change(
            field=field,
            old=before.get(field),
            new=after.get(field),
            effect=_effect(field, restarts=restarts),
        )
        for field in sorted({*before, *after})
        if before.get(field) != after.get(field)
    ]
    return [*changed, *_step_changes(_steps(old), _steps(new))]


def _fields(spec: MigrationPolicySpec | None) -> dict[str, str]:
    if spec is None:
        return {}
    return dict(_flat({name: each for name, each in spec.as_json().items() if name != "steps"}))


def _steps(spec: MigrationPolicySpec | None) -> list[str]:
    """In words, by which they are compared: their numbers change with each one that comes or goes."""
    return [f"{_words(each.as_json())}" for each in (spec.steps if spec is not None else None) or []]


def _words(step: Mapping[str, Any]) -> str:
    (trigger, when), *_ = step["after"].items()
    action, value = next((name, each) for name, each in step.items() if name != "after")
    shown = (
        f" {value}"
        if isinstance(value, str)
        else "".join(f" {path}={each}" for path, each in _flat(value) if path)
    )
    return f"{action}{shown} after {trigger} {when}"


def _step_changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    for kind, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for place in range(max(i_end - i, j_end - j)):
            was = old[i + place] if i + place < i_end else None
            becomes = new[j + place] if j + place < j_end else None
            number = (j + place if becomes is not None else i + place) + 1
            yield Change(field=f"step {number}", old=was, new=becomes, effect=_AT_ONCE)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and value:
        for field, each in value.items():
            yield from _flat(each, f"{path}.{field}".removeprefix("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, each in enumerate(value):
            yield from _flat(each, f"{path}[{place}]")
    else:
        shown = str(value).lower() if isinstance(value, bool) else value
        yield path, ", ".join(map(str, shown)) if isinstance(shown, list) else str(shown)


def _effect(field: str, *, restarts: bool) -> str:
    top = field.partition(".")[0].partition("[")[0]
    if top == "start" and field != "start.compression.cacheSize":
        return "running migrations start again with it" if restarts else "from the next attempt on"
    return _EFFECTS.get(top, _AT_ONCE)


def consequences(
    edited: Mapping[str, MigrationPolicy | None],
    migrations: Sequence[VMMigration],
    policies: Sequence[MigrationPolicy],
    namespaces: Mapping[str, Mapping[str, str]],
    *,
    now: datetime,
) -> list[Consequence]:
    """What follows for each migration that is not over.

    Args:
        edited: The policies as they are to be, by name; None: removed.
        migrations: All of the cluster.
        policies: All of the cluster, as they are.
        namespaces: The labels of each Namespace; one that is not there is not known.
        now: The time.
    """
    after = [each for each in policies if each.metadata.name not in edited]
    after += [each for each in edited.values() if each is not None]
    found = []
    for each in migrations:
        if each.status.is_over:
            continue
        labels = namespaces.get(each.metadata.namespace or "default")
        told = _running(each, edited, now) if _runs(each) else _waiting(each, policies, after, labels)
        if told:
            found.append(Consequence(migration=name(each), changes=told))
    return found


def _runs(migration: VMMigration) -> bool:
    attempts = migration.status.attempts
    return migration.status.desired is not None and bool(attempts) and attempts[-1].end is None


def _running(
    migration: VMMigration, edited: Mapping[str, MigrationPolicy | None], now: datetime
) -> list[str]:
    """An attempt keeps its policy, and follows its edits."""
    status = migration.status
    held = status.policy.name if status.policy is not None else ""
    if held not in edited or status.desired is None:
        return []
    new = edited[held]
    if new is None:
        return ["keeps what is in force to its end: its policy will be gone"]
    desired = status.desired
    planned = plan(
        with_overrides(new.spec, migration.spec.overrides),
        desired,
        status.applied,
        status.steps,
        situation(migration),
        now=now,
        share=lambda _: desired.share,
        report_every=desired.report_every,
    )
    told = list(_parameters(desired, planned.desired))
    move = planned.outlook.move
    if move is not None:
        told.append(f"at once: {move.action.text(desired)} ({move.why})")
    elif planned.outlook.next_action is not None:
        told.append(f"next: {planned.outlook.next_action}")
    return told or ["goes on as it is"]


def _parameters(old: Desired, new: Desired) -> Iterator[str]:
    before, after = dict(_flat(old.as_json())), dict(_flat(new.as_json()))
    for field in sorted({*before, *after}):
        if before.get(field) != after.get(field) and field.partition(".")[0] not in _NOT_TOLD:
            yield f"{field}: {before.get(field, 'none')} → {after.get(field, 'none')}"


def _waiting(
    migration: VMMigration,
    before: Sequence[MigrationPolicy],
    after: Sequence[MigrationPolicy],
    labels: Mapping[str, str] | None,
) -> list[str]:
    old, new = (_selected(select_policy(migration, each, labels)) for each in (before, after))
    return [f"goes by {new} instead of {old}"] if old != new else []


def _selected(selection: Selection | NoSelection) -> str:
    return selection.name if isinstance(selection, Selection) else f"none ({selection.reason})"
