"""A migration job as the simulated host sees it: one of the model, or a recorded one."""

from dataclasses import dataclass
from typing import Protocol

from vmferry_agent.decisions.changes import Change
from vmferry_agent.hypervisor.port import Sample


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """How a job ended. Times are in seconds since the simulation began."""

    time: float
    moved: bool
    """Whether the guest runs on the target, with nothing left behind."""
    downtime: float | None = None
    """Seconds that the guest stood still; None where it did not move, or where that was not recorded."""
    error: str | None = None
    """Why it did not move."""


class Job(Protocol):
    """One outgoing migration."""

    @property
    def end(self) -> JobEnd | None:
        """How it ended, as far as it has been run."""

    @property
    def in_post_copy(self) -> bool:
        """Whether the guest runs on the target while its memory follows."""

    def run_until(self, moment: float) -> None:
        """Let it go on until then."""

    def sample(self) -> Sample:
        """Its statistics now."""

    def set(self, change: Change) -> None:
        """Set one parameter in flight."""

    def abort(self) -> None:
        """Give it up, unless it is in post-copy."""
