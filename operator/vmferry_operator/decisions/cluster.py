"""What all migrations of the cluster take and wait for."""

from collections.abc import Iterable

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.admission import Turns
from vmferry_operator.decisions.occupancy import Occupants
from vmferry_operator.decisions.shares import Shares


class Cluster:
    """The cluster as of one moment; what many decisions ask of it is reckoned once.

    Who asks of a migration is answered as that is by now, whether or not the cluster has it, and as what.

    Args:
        migrations: All of them, or at least those that run or wait.
        policies: All of them.
    """

    def __init__(
        self, migrations: Iterable[VMMigration] = (), policies: Iterable[MigrationPolicy] = ()
    ) -> None:
        by_name = {policy.metadata.name: policy for policy in policies}
        self._occupants = Occupants(migrations=list(migrations), policies=by_name)
        self.shares = Shares(self._occupants)
        self.turns = Turns(self._occupants)

    def running_with(self, migration: VMMigration) -> int:
        """How many run once this one does, too."""
        running = self._occupants.running
        return len(running) + (migration.metadata.uid not in running)
