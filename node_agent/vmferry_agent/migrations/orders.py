"""What is wanted of one migration, as its object says at the moment."""

from vmferry_agent.decisions.changes import bandwidth
from vmferry_agent.decisions.outcome import GivenUp
from vmferry_agent.hypervisor.port import Domain, StartRequest
from vmferry_api.migrations import AttemptOutcome, Desired, DesiredState, VMMigration, VMReport
from vmferry_api.policies import StartOptions


class Orders:
    """Reads the object.

    Args:
        migration: The object as first seen.
    """

    def __init__(self, migration: VMMigration) -> None:
        self.migration = migration
        """The object as it is now."""

    def now(self) -> Desired | GivenUp:
        """What is wanted now. The user's word comes first, without waiting for the operator."""
        desired = self.desired
        status = self.migration.status
        if status.is_over:
            reason = f"the operator has called it {status.phase}"
            return GivenUp(outcome=AttemptOutcome.ABORTED, reason=reason)
        if self.migration.spec.cancel:
            return GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled by spec.cancel")
        if self.migration.metadata.deletion_timestamp is not None:
            return GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled: the object was deleted")
        if desired is None or desired.state == DesiredState.ABORT:
            reason = desired.reason if desired else "the operator has withdrawn it"
            return GivenUp(outcome=AttemptOutcome.ABORTED, reason=f"aborted: {reason}")
        return desired

    @property
    def desired(self) -> Desired | None:
        """What the operator wants, whether or not the user has put an end to it."""
        return self.migration.status.desired

    @property
    def vm_on_target(self) -> VMReport | None:
        """The VM as the target's agent sees it."""
        target = self.migration.status.target
        return target.vm if target else None

    def request(self, domain: Domain, desired: Desired) -> StartRequest | None:
        """How to start it, or to take it up again; None: the target has not told its address."""
        target = self.migration.status.target
        if target is None or not target.connect_uri:
            return None
        return StartRequest(
            connect_uri=target.connect_uri,
            migration_uri=target.migration_uri,
            bandwidth=bandwidth(desired),
            post_copy_bandwidth=desired.post_copy_bandwidth,
            post_copy=desired.post_copy_allowed,
            persistent=domain.persistent,
            options=desired.start or StartOptions(),
            storage=self.migration.spec.storage,
            tls_destination=target.tls_destination,
        )
