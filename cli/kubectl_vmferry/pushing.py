"""Forcing a migration to its end: what to change of its spec so that it ends now, as far as its policy allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from kubectl_vmferry.views.figures import downtime
from kubectl_vmferry.views.standing import phase
from vmferry_api import API_VERSION
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, MigrationTechnique, VMMigration
from vmferry_api.policies import DowntimeRamp, MigrationPolicy, MigrationPolicySpec
from vmferry_api.quantities import format_quantity
from vmferry_operator.decisions.parameters import allows_post_copy, highest_downtime
from vmferry_operator.decisions.plan import plan
from vmferry_operator.decisions.select import BUILT_IN, with_overrides
from vmferry_operator.decisions.situations import in_post_copy, situation

POST_COPY_POLICY = "push-to-post-copy"
"""The policy that is made where none of the cluster's switches at once."""
_ROOM = 1.1
"""A downtime that is suggested has so much room: the guest may write a little faster."""


@dataclass(frozen=True, kw_only=True)
class Push:
    """What to do."""

    spec: Mapping[str, Any]
    """Changes of the migration's spec."""
    says: str
    """What that does, in words."""
    create: Mapping[str, Any] | None = None
    """A policy that must be there first."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why nothing is done, and what could be."""

    why: str
    cure: str = field(default="")


def push(
    migration: VMMigration,
    policies: Sequence[MigrationPolicy],
    *,
    most: timedelta | None,
    post_copy: bool,
    now: datetime,
) -> Push | Refused:
    """What ends it now.

    Args:
        migration: The migration.
        policies: All policies.
        most: A downtime to grant, whatever the policy says; None: the most that the policy may come to grant.
        post_copy: Switch to post-copy, whatever the policy says.
        now: The time.
    """
    status = migration.status
    if status.is_over:
        return Refused(why=f"it is over: {phase(migration)}", cure="there is nothing to push")
    if in_post_copy(migration):
        return Refused(why="it is in post-copy already", cure="it ends once all memory has been sent")
    if status.desired is None or not status.attempts or status.attempts[-1].end is not None:
        return Refused(
            why="nothing runs yet", cure=f"see `kubectl vmferry describe {migration.metadata.name}`"
        )
    spec = _policy(migration, policies)
    if spec is None:
        name = status.policy.name if status.policy else "none"
        return Refused(why=f"its policy {name} is not there", cure="set spec.policyRef")
    return _Pusher(migration, policies, spec, status.desired, now).push(most, post_copy=post_copy)


def _policy(migration: VMMigration, policies: Sequence[MigrationPolicy]) -> MigrationPolicySpec | None:
    name = migration.status.policy.name if migration.status.policy else None
    if name == BUILT_IN:
        return with_overrides(
            MigrationPolicySpec(agent_downtime_ramp=DowntimeRamp()), migration.spec.overrides
        )
    found = next((each for each in policies if each.metadata.name == name), None)
    return None if found is None else with_overrides(found.spec, migration.spec.overrides)


class _Pusher:
    def __init__(
        self,
        migration: VMMigration,
        policies: Sequence[MigrationPolicy],
        spec: MigrationPolicySpec,
        desired: Desired,
        now: datetime,
    ) -> None:
        self._migration = migration
        self._policies = policies
        self._spec = spec
        self._desired = desired
        self._now = now
        progress = migration.status.progress
        self._needed = progress.needed_downtime if progress is not None else None

    def push(self, most: timedelta | None, *, post_copy: bool) -> Push | Refused:
        if post_copy:
            return self._switch()
        if most is not None:
            return self._grant(most, beyond=most > self._allowed)
        fits = self._needed is None or self._needed <= self._allowed
        if not fits and allows_post_copy(self._spec) and self._desired.post_copy_allowed:
            return self._switch()
        return self._grant(self._allowed, beyond=False)

    @property
    def _allowed(self) -> timedelta:
        ramp = self._spec.agent_downtime_ramp
        return ramp.max if ramp is not None else highest_downtime(self._spec)

    def _grant(self, granted: timedelta, *, beyond: bool) -> Push | Refused:
        overrides: dict[str, Any] = {}
        now = self._desired.max_downtime
        if now is None or granted > now:
            overrides["maxDowntime"] = format_duration(granted)
        bandwidth = self._bandwidth
        if bandwidth is not None:
            overrides["bandwidth"] = {"perMigration": format_quantity(bandwidth)}
        if self._spec.objective is not None and not beyond:
            overrides.pop("maxDowntime", None)  # it is the objective's, which the planner grants by itself
        if not overrides:
            return Refused(why=f"{self._granted_in_words}{self._need}", cure=self._more)
        given = ", ".join(_words(overrides))
        says = f"{given} from now on{self._need}"
        if self._spec.objective is not None:
            says = (
                f"the stop may now be {overrides['maxDowntime']} long: the planner grants it as soon as less is "
                f"found too little{self._need}"
            )
        if self._needed is not None and self._needed > granted:
            says += f": that may not do; {self._more}"
        return Push(spec={"overrides": overrides}, says=says)

    @property
    def _granted_in_words(self) -> str:
        """Why there is nothing to grant."""
        now = self._desired.max_downtime
        if self._spec.objective is not None and now is not None and now < self._allowed:
            more, less = downtime(self._allowed), downtime(now)
            return f"its objective's planner grants {more} by itself as soon as {less} is found too little"
        return f"its policy allows no more than the {downtime(now)} granted"

    @property
    def _bandwidth(self) -> int | None:
        """The highest rung of the policy's, where it is not granted yet."""
        rungs = [each.set_bandwidth for each in self._spec.steps or [] if each.set_bandwidth is not None]
        now = self._desired.bandwidth
        return max(rungs) if rungs and now is not None and max(rungs) > now else None

    @property
    def _need(self) -> str:
        return "" if self._needed is None else f", and the guest needs {downtime(self._needed)}"

    @property
    def _more(self) -> str:
        ways = [self._longer, *(["--allow-postcopy"] if self._desired.post_copy_allowed else [])]
        return f"to go further: {' or '.join(ways)}"

    @property
    def _longer(self) -> str:
        """The option that grants what the guest needs."""
        if self._needed is None:
            return "--max-downtime DURATION"
        tenths = ceil(self._needed.total_seconds() * _ROOM * 10)
        return f"--max-downtime {format_duration(timedelta(seconds=tenths / 10))}"

    def _switch(self) -> Push | Refused:
        if not self._desired.post_copy_allowed:
            return Refused(
                why="its attempt was started without the possibility of post-copy (a host can't take part in it, "
                "or parallel connections exclude it)",
                cure=f"grant a longer stop: {self._longer}",
            )
        found = next((each for each in self._by_name if self._switches(each)), None)
        name = found.metadata.name if found is not None else POST_COPY_POLICY
        create = None if found is not None else post_copy_policy()
        first_pass = situation(self._migration).memory_pass < 2  # noqa: PLR2004 - pass 1 is the first one
        when = "once all memory was sent once" if first_pass else "at once"
        return Push(
            spec={"policyRef": {"name": name}},
            create=create,
            says=f"it goes by MigrationPolicy {name}, which switches to post-copy {when}; from then on nothing "
            "aborts it, and the loss of either host loses the VM",
        )

    @property
    def _by_name(self) -> Sequence[MigrationPolicy]:
        """The one that is made for it goes first."""
        return sorted(
            self._policies, key=lambda each: (each.metadata.name != POST_COPY_POLICY, each.metadata.name)
        )

    def _switches(self, policy: MigrationPolicy) -> bool:
        """Whether the operator's own planner would switch now by this policy, or it is the one made for that."""
        if policy.unreadable or not allows_post_copy(policy.spec):
            return False
        if policy.metadata.name == POST_COPY_POLICY:
            return True
        status = self._migration.status
        planned = plan(
            with_overrides(policy.spec, self._migration.spec.overrides),
            self._desired,
            status.applied,
            status.steps,
            situation(self._migration),
            now=self._now,
        )
        return planned.desired.technique == MigrationTechnique.POST_COPY


def _words(overrides: Mapping[str, Any]) -> list[str]:
    words = []
    if "maxDowntime" in overrides:
        words.append(f"a stop of {overrides['maxDowntime']} is granted")
    if "bandwidth" in overrides:
        words.append(f"{overrides['bandwidth']['perMigration']} may be sent a second")
    return words


def post_copy_policy() -> Mapping[str, Any]:
    """A policy that switches to post-copy as soon as all memory was sent once."""
    return {
        "apiVersion": API_VERSION,
        "kind": "MigrationPolicy",
        "metadata": {"name": POST_COPY_POLICY},
        "spec": {
            "description": "Made by `kubectl vmferry push --allow-postcopy`: switches to post-copy once all "
            "memory was sent once. It ends for certain; the loss of either host meanwhile loses the VM.",
            "progressTimeout": "0s",
            "steps": [{"after": {"passes": 2}, "switchToPostCopy": {}}],
        },
    }
