"""The agent's configuration; each option by flag, environment variable and file alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from typing_extensions import override

from vmferry_agent.uris import connect_uri, libvirt_uri, migration_uri, tls_destination
from vmferry_kube.configuration import LOG_OPTIONS, configured_by, health_options, option
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.logs import LogFormat


@dataclass(frozen=True, kw_only=True)
class CheckConfiguration:
    """As an agent's, where an agent's pod is looked at: its arguments are not those of whoever looks."""

    node: str
    libvirt_uri: str
    connect_uri: str | None
    """None: where it leads is not looked at."""
    migration_uri: str | None
    tls_destination: str | None
    measure_dirty_rate: bool
    namespace: str
    health_address: str
    health_port: int | None
    record_traces: Path | None
    log_format: LogFormat
    verbose: bool


@dataclass(frozen=True, kw_only=True)
class Configuration(CheckConfiguration):
    """How an agent is to run."""

    connect_uri: str


class _Uri(click.ParamType[str]):
    name = "uri"

    def __init__(self, check: Callable[[str], str]) -> None:
        self._check = check

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._check(str(value))
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


_BEFORE = (
    option("--node", "The name of the Node object that this host is.", required=True),
    option("--libvirt-uri", "This host's libvirt daemon.", default="qemu:///system", type=_Uri(libvirt_uri)),
)
_AFTER = (
    option(
        "--migration-uri", "Where this host's QEMU listens, such as tcp://10.0.0.7.", type=_Uri(migration_uri)
    ),
    option(
        "--tls-destination",
        "The name in the certificate of this host's QEMU, where it is not the host of the migration URI.",
        type=_Uri(tls_destination),
    ),
    option(
        "--measure-dirty-rate/--no-measure-dirty-rate",
        "Measure how fast a guest writes, by a sample of its pages, while it waits for its start.",
        default=True,
        is_flag=True,
    ),
    option("--namespace", "Where the agents' Leases are.", default=NAMESPACE),
    *health_options(8080),
    option(
        "--record-traces",
        "A directory to record each attempt in, for `kubectl vmferry simulate`.",
        type=click.Path(file_okay=False, path_type=Path),
    ),
    *LOG_OPTIONS,
)
_CONNECT_URI = (
    "How other hosts' libvirt daemons reach this one's (peer-to-peer), such as qemu+tls://node-a/system"
)
options = configured_by(
    *_BEFORE,
    option("--connect-uri", f"{_CONNECT_URI}.", required=True, type=_Uri(connect_uri)),
    *_AFTER,
)
"""Gives a command all options; they are the fields of a Configuration."""
check_options = configured_by(
    *_BEFORE,
    option("--connect-uri", f"{_CONNECT_URI}; without it, that is not looked at.", type=_Uri(connect_uri)),
    *_AFTER,
)
"""The same, with those that a CheckConfiguration can do without."""
