"""The operator's configuration; each option by flag, environment variable and file alike."""

from dataclasses import dataclass

from vmferry_kube.configuration import LOG_OPTIONS, configured_by, health_options, option
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.logs import LogFormat


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How an operator is to run."""

    namespace: str
    health_address: str
    health_port: int | None
    log_format: LogFormat
    verbose: bool


options = configured_by(
    option("--namespace", "Where the agents' Leases and its own are.", default=NAMESPACE),
    *health_options(8081),
    *LOG_OPTIONS,
)
"""Gives a command all options; they are the fields of a Configuration."""
