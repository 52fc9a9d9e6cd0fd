"""What the agent tells of its own work; who counts it is behind this port."""

from vmferry_api.migrations import AttemptOutcome
from vmferry_kube.measuring import Failure


class Measurements:
    """Takes what happens; by itself, it forgets it."""

    def libvirt_called(self, name: str, *, seconds: float, error: str | None) -> None:
        """A call of libvirt has ended.

        Args:
            name: The call's.
            seconds: What it took.
            error: libvirt's number of the error, or `deadline`; None: it was answered.
        """

    def libvirt_connected(self) -> None:
        """A connection to libvirt for short calls was opened."""

    def status_written(self, role: str, *, seconds: float, failure: Failure | None) -> None:
        """A write of a migration's status has ended.

        Args:
            role: The agent's role in the migration.
            seconds: What it took.
            failure: How it failed; None: it was written.
        """

    def attempt_ended(self, outcome: AttemptOutcome) -> None:
        """An attempt from this node has ended so."""

    def post_copy_interrupted(self) -> None:
        """The post-copy of a VM from this node was interrupted."""


UNMEASURED = Measurements()
"""Where nobody counts."""
