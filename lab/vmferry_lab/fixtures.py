"""The lab for pytest: `control_plane` and the labs of each kind once per run, `start_guest` for each test.

Everything heavy is imported where it is needed, so that tests that need no lab do not pay for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmferry_lab.errors import LabError

if TYPE_CHECKING:
    from vmferry_lab.controlplane.control_plane import ControlPlane
    from vmferry_lab.guests.guest import Guest
    from vmferry_lab.hosts.kinds import Choice, HostsKind
    from vmferry_lab.lab import Lab

    StartGuest = Callable[..., Guest]

_COLD = 8 * 2**20
"""Bytes that a guest writes once, at boot, unless told otherwise: they lengthen the first pass, and no other."""
_numbers = count(1)
_LOG_LINES = 40
_labs: list[Lab] = []


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """An API server with vmferry's API, RBAC and presets; no hosts, no operator, no agents."""
    with new_lab() as lab:
        lab.up_control_plane(say=_quiet)
        yield lab.control_plane


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the kind of hosts be chosen."""
    parser.getgroup("vmferry").addoption(
        "--hosts-kind",
        choices=["node", "session"],
        help="The lab's hosts. Default: node where it can be had.",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say what the lab's hosts are."""
    choice = _choice(config)
    return f"vmferry-lab: hosts of kind {choice.kind}: {choice.why}"


@pytest.fixture(scope="session")
def lab_of_kind() -> Iterator[Callable[[HostsKind], Lab]]:
    """Labs with two hosts, the operator and both agents; one of each kind that is asked for."""
    from vmferry_lab.controlplane.kubeconfigs import NO_PROXY, client_environment  # noqa: PLC0415 - see above

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        labs: dict[HostsKind, Lab] = {}

        def lab_of(kind: HostsKind) -> Lab:
            if kind not in labs:
                new = stack.enter_context(new_lab())
                new.up(kind=kind, say=_quiet)
                labs[kind] = new
                environment = client_environment(new.kubectl.kubeconfig)
                for name in NO_PROXY:  # for the tests' own clients
                    patch.setenv(name, environment[name])
            return labs[kind]

        yield lab_of


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config, lab_of_kind: Callable[[HostsKind], Lab]) -> Lab:
    """A lab whose hosts are of the kind that the run's header tells."""
    return lab_of_kind(_choice(pytestconfig).kind)


@pytest.fixture(scope="session")
def node_lab(lab_of_kind: Callable[[HostsKind], Lab]) -> Lab:
    """A lab whose hosts have links that can be cut; what needs one fails where it can't be had."""
    from vmferry_lab.hosts.kinds import HostsKind, check_nodes_possible  # noqa: PLC0415 - see above

    try:
        check_nodes_possible()
    except LabError as error:
        reason = str(error)
    else:
        return lab_of_kind(HostsKind.NODE)
    pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def cluster_lab(lab_of_kind: Callable[[HostsKind], Lab]) -> Lab:
    """A lab whose nodes run pods, and vmferry as what is shipped; where it can't be had, what needs it fails."""
    from vmferry_lab.hosts.kinds import HostsKind, check_cluster_possible  # noqa: PLC0415 - see above

    try:
        check_cluster_possible()
    except LabError as error:
        reason = str(error)
    else:
        return lab_of_kind(HostsKind.CLUSTER)
    pytest.fail(reason, pytrace=False)


@pytest.fixture
def start_guest(lab: Lab) -> Iterator[StartGuest]:
    """Starts a guest on a host, with the words of GuestSpec; it is destroyed after the test."""
    from vmferry_lab.guests.image import GuestSpec  # noqa: PLC0415 - see above

    started: list[Guest] = []

    def start(host: str = "node-a", *, persistent: bool = True, **spec: Any) -> Guest:  # noqa: ANN401
        guest = lab.guest(f"vm-{next(_numbers)}")
        started.append(guest)
        guest.start(
            lab.host(host), GuestSpec(name=guest.name, **{"cold": _COLD, **spec}), persistent=persistent
        )
        return guest

    yield start
    for guest in started:
        guest.destroy(lab.hosts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what vmferry has logged where a test fails."""
    report = yield
    if report.failed and call.when != "teardown":
        from vmferry_lab import processes  # noqa: PLC0415 - see above

        for each in _labs:
            for log in sorted((each.directory / "logs").glob("[oa][pg]e*.log")):
                report.sections.append((f"end of {log.name}", processes.tail(log, _LOG_LINES)))
            if each.is_up and each.kind == "cluster":
                report.sections += _pod_logs(each)
    return report


class new_lab:  # noqa: N801 - used as a function
    """A lab in a new directory, down at the end whatever happened."""

    def __enter__(self) -> Lab:
        from vmferry_lab.lab import Lab  # noqa: PLC0415 - see above

        self._lab = Lab(Path(tempfile.mkdtemp(prefix="vmferry-")))
        _labs.append(self._lab)
        return self._lab

    def __exit__(self, *_: object) -> None:
        _labs.remove(self._lab)
        self._lab.down()


def _pod_logs(lab: Lab) -> list[tuple[str, str]]:
    sections = [("pods", lab.kubectl.run("get", "pods", "-A", "-o", "wide"))]
    for component in ("operator", "agent"):
        for pod in lab.cluster.pods(component):
            try:
                said = pod.log()
            except LabError as error:  # its node is off, say
                said = str(error)
            sections.append((f"end of {pod.name}", "\n".join(said.splitlines()[-_LOG_LINES:])))
    return sections


def _choice(config: pytest.Config) -> Choice:
    from vmferry_lab.hosts.kinds import Choice, HostsKind, default_kind  # noqa: PLC0415 - see above

    asked = config.getoption("--hosts-kind")
    return Choice(kind=HostsKind(asked), why="--hosts-kind") if asked else default_kind()


def _quiet(_text: str) -> None:
    """Say nothing: pytest tells how it goes."""
