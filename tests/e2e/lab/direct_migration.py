"""A migration by libvirt alone, without Kubernetes and vmferry."""

import threading

import libvirt

from vmferry_lab.guests.guest import Guest
from vmferry_lab.hosts.host import Host
from vmferry_lab.until import until

PATIENCE = 60.0
FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)
"""Without VIR_MIGRATE_UNSAFE: libvirt must deem the guests safe by itself."""
LINK = 50
"""MiB/s, unless said otherwise."""


class Migration(threading.Thread):
    """A migration of a guest; `domain` is a way to control it.

    Args:
        guest: The guest.
        source: Where it runs.
        target: Where it is to run.
        downtime: At most so many ms.
        flags: Besides FLAGS.
        bandwidth: In MiB/s.
        connect_uri: How the source's daemon reaches the target's; by default the target's own word.
    """

    def __init__(
        self,
        guest: Guest,
        source: Host,
        target: Host,
        *,
        downtime: int,
        flags: int = 0,
        bandwidth: int = LINK,
        connect_uri: str | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._connections = [libvirt.open(source.uri) for _ in range(2)]
        self._blocked, self.domain = (each.lookupByUUIDString(guest.uuid) for each in self._connections)
        self._connect_uri = connect_uri or target.connect_uri
        self._parameters = {"migrate_uri": target.migration_uri, "bandwidth": bandwidth}
        self._flags = FLAGS | flags
        self.error: libvirt.libvirtError | None = None
        self.domain.migrateSetMaxDowntime(downtime)
        self.start()
        until("the migration to begin", lambda: self.done or self.stats, timeout=PATIENCE)

    def run(self) -> None:
        """Carry it out."""
        try:
            self._blocked.migrateToURI3(self._connect_uri, self._parameters, self._flags)
        except libvirt.libvirtError as error:
            self.error = error

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return not self.is_alive()

    @property
    def stats(self) -> dict[str, int]:
        """What libvirt says of it while memory is sent."""
        try:
            stats: dict[str, int] = self.domain.jobStats()
        except libvirt.libvirtError:  # just ended
            return {}
        return stats if stats.get("memory_iteration") else {}

    @property
    def processed(self) -> int:
        """Bytes of memory that were sent."""
        return self.stats.get("memory_processed", 0)

    def comes_to_pass(self, number: int) -> None:
        """Wait for a pass over the memory."""
        until(
            f"pass {number}",
            lambda: self.done or self.stats.get("memory_iteration", 0) >= number,
            timeout=PATIENCE,
        )

    def has_succeeded(self) -> bool:
        """Wait for its end, and tell whether it is a good one."""
        self.join(PATIENCE)
        assert self.done
        for each in self._connections:
            each.close()
        return self.error is None

    def ends(self) -> None:
        """Wait until it has succeeded."""
        assert self.has_succeeded(), self.error

    def fails(self) -> str:
        """Wait until it has failed, and tell how."""
        assert not self.has_succeeded()
        return str(self.error)
