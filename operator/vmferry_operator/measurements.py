"""What the operator tells of what happens; who counts it is behind this port."""

from datetime import timedelta

from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_kube.measuring import Failure


class Measurements:
    """Takes what happens; by itself, it forgets it."""

    def policy_seen(self, policy: str) -> None:
        """There is such a policy: what is counted by policy begins at 0."""

    def migration_begun(self, policy: str, *, waited: timedelta) -> None:
        """Its first attempt has begun, so long after it was asked for."""

    def migration_ended(self, policy: str, phase: Phase, *, took: timedelta | None) -> None:
        """It is over, so long after its first attempt began; None: none did."""

    def migration_failed(self, reason: str) -> None:
        """It has failed, with this reason of the condition Failed."""

    def attempt_ended(self, policy: str, outcome: AttemptOutcome, *, sent: int | None) -> None:
        """An attempt has ended so, after so many bytes."""

    def guest_stopped(self, policy: str, downtime: timedelta) -> None:
        """A guest has moved, and stood still for so long."""

    def stalled(self, policy: str) -> None:
        """A migration has begun to stall."""

    def post_copy_interrupted(self, policy: str) -> None:
        """A post-copy was interrupted."""

    def post_copy_stood_still(self, policy: str, lasted: timedelta) -> None:
        """An interruption of a post-copy is over, or its attempt is; for so long nothing flowed."""

    def step_settled(self, action: str, outcome: str) -> None:
        """A step that was taken has come to an outcome, or to another one."""

    def revision_decided(self) -> None:
        """Something else is desired than before."""

    def revision_applied(self, *, took: timedelta) -> None:
        """The host has done what is desired, as far as is known here, so long after it was decided."""

    def written(self, what: str, *, seconds: float, failure: Failure | None) -> None:
        """A write to the API server has ended.

        Args:
            what: What was written, by kind.
            seconds: What it took.
            failure: How it failed; None: it did not.
        """

    def reconciled(self, kind: str, *, seconds: float, failure: Failure | None) -> None:
        """One look at an object of a kind has ended, with what was written; as for `written`."""


UNMEASURED = Measurements()
"""Where nobody counts."""
