"""The guests that migration policies are measured on, for a link of 55 MB/s and a bandwidth of 50 MiB/s."""

from dataclasses import dataclass

from vmferry_lab.guests.image import GuestSpec, Pattern

_MB = 1_000_000
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A guest, and how it changes."""

    name: str
    dirty_rate: int
    """Bytes per second."""
    working_set: int
    cold: int
    """Bytes that are written once, at boot."""
    memory: int = 128 * _MIB
    rates: tuple[tuple[float, int], ...] = ()
    """Seconds, and the rate from then on; the last two alternate for ever."""
    pattern: Pattern = Pattern.SEQUENTIAL
    local_disk: bool = False

    def spec(self, name: str) -> GuestSpec:
        """A guest of this name that does it."""
        return GuestSpec(
            name=name,
            memory=self.memory,
            dirty_rate=self.dirty_rate,
            working_set=self.working_set,
            pattern=self.pattern,
            cold=self.cold,
            local_disk=self.local_disk,
        )

    @property
    def touched(self) -> int:
        """Bytes that have to be sent at least once."""
        return self.working_set + self.cold


IDLE = Workload(name="W1", dirty_rate=_MB, working_set=8 * _MIB, cold=88 * _MIB)
BORDERLINE = Workload(name="W2", dirty_rate=48 * _MB, working_set=88 * _MIB, cold=8 * _MIB)
"""Converges, slowly."""
HOPELESS = Workload(name="W3", dirty_rate=80 * _MB, working_set=64 * _MIB, cold=32 * _MIB)
"""Outruns the link: 1.3 s of downtime at any limit below 0.8 s."""
BURSTS = Workload(
    name="W5",
    dirty_rate=80 * _MB,
    working_set=64 * _MIB,
    cold=32 * _MIB,
    rates=((6, 20 * _MB), (12, 80 * _MB)),
)
"""As HOPELESS for 6 s, quiet for 6 s, and so on."""
JUST_ABOVE = Workload(name="W6b", dirty_rate=80 * _MB, working_set=44 * _MIB, cold=44 * _MIB)
"""Needs little more than half a second, at any limit below."""
LARGE = Workload(name="W7", dirty_rate=60 * _MB, working_set=300 * _MIB, cold=100 * _MIB, memory=512 * _MIB)
"""Outruns the link by a little, and each pass takes 6 s."""
