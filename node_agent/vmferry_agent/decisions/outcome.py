"""How an attempt ended, from what the source host shows once no job runs."""

from dataclasses import dataclass

from vmferry_agent.hypervisor.port import Domain
from vmferry_api.migrations import AttemptOutcome, Desired, VMState


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An attempt's end."""

    outcome: AttemptOutcome
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """The agent has aborted, and why."""

    outcome: AttemptOutcome
    reason: str


def restarted(desired: Desired) -> GivenUp:
    """The end for the sake of the next attempt."""
    return GivenUp(outcome=AttemptOutcome.RESTARTED, reason=f"restarted: {desired.reason}")


def stronger(before: GivenUp | None, now: GivenUp) -> GivenUp:
    """Of two reasons to give up the first counts; but a restart gives way to an end."""
    restart = before is not None and before.outcome == AttemptOutcome.RESTARTED
    return now if before is None or restart else before


def ended(
    domain: Domain | None,
    given_up: GivenUp | None,
    error: str | None,
    *,
    failed: bool = False,
    moved: bool = True,
) -> Ended | None:
    """The end as the domain shows it; None: it is not over (a post-copy is interrupted).

    The domain says more than the return of the call that started the migration, which can be lost with a
    connection while the hosts go on.

    Args:
        domain: The VM on its source, no outgoing job running.
        given_up: Set when this agent has aborted, or would have.
        error: What the call said, if it failed.
        failed: It failed by itself, before an abort took effect; for a restart that makes a difference.
        moved: Whether libvirt has told that it completed. A domain that nobody keeps a definition of can be gone
            because it has died.
    """
    if domain is None and not moved:
        said = f": {error}" if error else ""
        return Ended(
            outcome=AttemptOutcome.FAILED,
            error=f"the VM is gone, and libvirt has not told that it moved{said}",
        )
    if domain is None or domain.moved_away:
        return Ended(outcome=AttemptOutcome.COMPLETED)
    alive = domain.state in {VMState.RUNNING, VMState.PAUSED}
    if domain.in_post_copy:
        return None
    restarts = given_up is not None and given_up.outcome == AttemptOutcome.RESTARTED
    if given_up is not None and not (restarts and (failed or not alive)):
        return Ended(outcome=given_up.outcome, error=given_up.reason)
    if not alive:
        said = f": {error}" if error else ""
        return Ended(
            outcome=AttemptOutcome.FAILED,
            error=f"{domain.name} is {domain.state} ({domain.reason}) on its source{said}",
        )
    return Ended(outcome=AttemptOutcome.FAILED, error=error or "the migration ended and the VM stayed")
