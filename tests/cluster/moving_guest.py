"""A guest on its way from node-a to node-b, as the tests on a real cluster handle it."""

from collections.abc import Callable
from dataclasses import dataclass

from asked_migration import PATIENCE, Migration

from vmferry_api.migrations import Phase, VMMigration
from vmferry_lab.guests.guest import Guest
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

GUEST = {"working_set": 32 * 2**20}
"""It writes 80 MB/s, or what a busy machine lets it write; far more than the bandwidth."""
HOPELESS = {"maxDowntime": "100ms", "bandwidth": {"perMigration": "16Mi"}}
"""The guest needs 2 s of downtime, and as long for each pass."""
_CALM = 1_000_000
"""A rate in bytes per second at which any migration converges."""


@dataclass
class MovingGuest:
    """A guest and its migration, which does not end before the guest is calmed."""

    lab: Lab
    guest: Guest
    migration: Migration

    def wait(
        self, what: str, holds: Callable[[VMMigration], object], timeout: float = PATIENCE
    ) -> VMMigration:
        """Wait until something holds of the migration."""
        return self.migration.wait(what, holds, timeout)

    def gets_on(self, passes: int = 2) -> VMMigration:
        """Wait until it has come some passes further, as told in its status, in the same attempt."""
        seen = self.migration.get()
        assert seen.status.progress is not None
        later = self.migration.passes(seen.status.progress.memory_pass + passes)
        assert later.status.phase == Phase.RUNNING
        return later

    def arrives_in_one_attempt(self) -> VMMigration:
        """Calm the guest; the migration that was under way all the time succeeds, and nothing is lost."""
        self.guest.set_rate(self.lab.hosts, _CALM)
        done = self.migration.ends()
        assert done.status.phase == Phase.SUCCEEDED
        assert [attempt.number for attempt in done.status.attempts] == [1]
        self.runs_only_on("node-b")
        return done

    def runs_only_on(self, host: str) -> None:
        """See that it goes on, on one host, and has lost nothing."""
        ticks = self.guest.verdict().ticks
        until(f"{self.guest.name} to go on", lambda: self.guest.verdict().ticks > ticks, timeout=PATIENCE)
        assert self.guest.settled_states(self.lab.hosts) == {host: "running"}
        assert self.guest.verdict().intact, self.guest.verdict()
