import pytest
from migrations_in_words import NOW, after, migration, running, source, target, waiting

from vmferry_api.migrations import Desired, SourceReport, TargetReport, VMMigrationStatus, VMReport, VMState
from vmferry_operator.decisions.ready import Obstacle, bounded, not_begun, obstacle

NODES = {"node-a", "node-b"}
READY = VMMigrationStatus(source=source(), target=target())
NO_SOCKET = "libvirt can't be asked: no socket"
UNASKED = SourceReport(unreachable=True, message=NO_SOCKET)
BLIND = TargetReport(ready=False, unreachable=True, message=NO_SOCKET)


def found(status: VMMigrationStatus, *, at: float = 0, nodes: set[str] | None = NODES) -> Obstacle | None:
    """What is in the way since NOW."""
    it = migration(waiting(status))
    told = obstacle(it, nodes, now=after(at))
    return told and bounded(it, told, now=after(at))


@pytest.mark.parametrize("state", [VMState.RUNNING, VMState.PAUSED])
@pytest.mark.parametrize("at", [0, 20 * 60])
def test_nothing_is_in_the_way_of_a_live_vm_and_a_target_that_is_ready(state: VMState, at: float) -> None:
    assert found(READY.replace(source=source(state)), at=at) is None


@pytest.mark.parametrize(
    ("status", "at", "reason", "of_target"),
    [
        (VMMigrationStatus(), 9.9, "WaitingForAgent", False),
        (VMMigrationStatus(), 10, "AgentSilent", False),
        (VMMigrationStatus(source=source()), 9.9, "WaitingForAgent", True),
        (VMMigrationStatus(source=source()), 10, "AgentSilent", True),
        (VMMigrationStatus(target=target()), 10, "AgentSilent", False),
        (READY.replace(target=TargetReport(ready=False)), 0, "TargetNotReady", True),
        (READY.replace(target=TargetReport(ready=False)), 899, "TargetNotReady", True),
    ],
)
def test_what_may_go_away_is_told_and_not_final(
    status: VMMigrationStatus, at: float, reason: str, *, of_target: bool
) -> None:
    told = found(status, at=at)
    assert told is not None
    assert (told.reason, told.of_target, told.final) == (reason, of_target, False)


@pytest.mark.parametrize(("at", "look_again_at"), [(0, 10), (9.9, 10), (10, 900), (899, 900)])
def test_it_is_looked_at_again_when_an_agent_counts_as_silent_and_when_the_wait_is_over(
    at: float, look_again_at: float
) -> None:
    told = found(VMMigrationStatus(), at=at)
    assert told is not None
    assert told.check_again == after(look_again_at)


@pytest.mark.parametrize(
    "status",
    [
        VMMigrationStatus(),
        VMMigrationStatus(source=source()),
        READY.replace(target=target(ready=False, message="full")),
    ],
)
def test_after_fifteen_minutes_it_is_waited_for_no_more(status: VMMigrationStatus) -> None:
    told = found(status, at=900)
    assert told is not None
    assert (told.reason, told.final) == ("StartTimeout", True)
    assert told.message.startswith("could not start within 15 minutes: ")


@pytest.mark.parametrize(
    ("status", "nodes", "reason", "says"),
    [
        (READY, {"node-b"}, "NodeNotFound", "spec.sourceNode: there is no Node node-a"),
        (READY, {"node-a"}, "NodeNotFound", "spec.targetNode: there is no Node node-b"),
        (VMMigrationStatus(), set(), "NodeNotFound", "node-a"),
        (
            READY.replace(source=SourceReport(vm=VMReport(state=VMState.ABSENT))),
            NODES,
            "VMNotFound",
            "node-a has no domain db-1",
        ),
        *(
            (READY.replace(source=source(state, "Shutdown")), NODES, "VMNotRunning", f"db-1 is {state}")
            for state in (VMState.SHUT_OFF, VMState.CRASHED, VMState.OTHER)
        ),
    ],
)
def test_what_will_not_go_away_is_final(
    status: VMMigrationStatus, nodes: set[str], reason: str, says: str
) -> None:
    told = found(status, nodes=nodes)
    assert told is not None
    assert (told.reason, told.final) == (reason, True)
    assert says in told.message


@pytest.mark.parametrize(
    ("status", "node", "of_target"),
    [
        (READY.replace(source=UNASKED), "node-a", False),
        (READY.replace(source=source().replace(unreachable=True, message=NO_SOCKET)), "node-a", False),
        (READY.replace(target=BLIND), "node-b", True),
        (READY.replace(target=target().replace(unreachable=True, message=NO_SOCKET)), "node-b", True),
        (running(target=BLIND), "node-b", True),
    ],
)
def test_an_agent_whose_libvirt_is_away_has_answered(
    status: VMMigrationStatus, node: str, *, of_target: bool
) -> None:
    told = found(status, at=60)
    assert told is not None
    assert (told.reason, told.of_target, told.final) == ("HypervisorUnreachable", of_target, False)
    assert told.message == f"{node} says: {NO_SOCKET}"


def test_nodes_that_are_not_known_just_now_count_as_there() -> None:
    assert found(READY, nodes=None) is None


def test_the_source_s_word_comes_before_the_target_s() -> None:
    told = found(VMMigrationStatus(target=target(ready=False)))
    assert told is not None
    assert not told.of_target


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (READY.replace(target=target(ready=False, message="node-b has 1Gi free")), "node-b has 1Gi free"),
        (
            READY.replace(source=SourceReport(vm=VMReport(state=VMState.ABSENT), message="no domain db-1")),
            "no domain db-1",
        ),
    ],
)
def test_what_an_agent_says_is_passed_on(status: VMMigrationStatus, says: str) -> None:
    told = found(status)
    assert told is not None
    assert told.message == says


@pytest.mark.parametrize(
    ("status", "reason", "look_again_at"),
    [
        (VMMigrationStatus(), "WaitingForAgent", 86400 + 10),
        (READY.replace(target=target(ready=False)), "TargetNotReady", 86400 + 900),
    ],
)
def test_the_clock_of_the_wait_begins_when_the_operator_first_looks(
    status: VMMigrationStatus, reason: str, look_again_at: float
) -> None:
    told = obstacle(migration(status), NODES, now=after(86400))
    assert told is not None
    assert told.reason == reason
    assert bounded(migration(status), told, now=after(86400)).check_again == after(look_again_at)


@pytest.mark.parametrize(
    ("at", "reason", "final"),
    [
        (5, "Starting", False),
        (10, "AgentSilent", False),
        (899, "AgentSilent", False),
        (900, "StartTimeout", True),
    ],
)
def test_a_start_that_the_agent_does_not_make_is_waited_for_as_long(
    at: float, reason: str, *, final: bool
) -> None:
    told_to_start = Desired.model_validate(
        {
            "revision": 1,
            "state": "Migrate",
            "attempt": 1,
            "technique": "PreCopy",
            "stallingLimit": "0s",
            "progressTimeout": "0s",
            "time": NOW,
        }
    )
    it = migration(READY.replace(desired=told_to_start))
    told = bounded(it, not_begun(it, told_to_start, now=after(at)), now=after(at))
    assert (told.reason, told.final) == (reason, final)
