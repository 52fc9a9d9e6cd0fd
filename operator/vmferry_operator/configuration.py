"""The operator's configuration; each option by flag, environment variable and file alike."""

from dataclasses import dataclass
from datetime import timedelta

import click
from typing_extensions import override

from vmferry_api.durations import format_duration, parse_duration
from vmferry_kube.configuration import LOG_OPTIONS, Option, configured_by, health_options, option
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.logs import LogFormat
from vmferry_operator.decisions.election import LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD, Timing


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How an operator is to run.

    Raises:
        click.UsageError: The times of the election don't fit together.
    """

    namespace: str
    leader_elect: bool
    leader_elect_lease_duration: timedelta
    leader_elect_renew_deadline: timedelta
    leader_elect_retry_period: timedelta
    health_address: str
    health_port: int | None
    log_format: LogFormat
    verbose: bool

    def __post_init__(self) -> None:
        try:
            _ = self.timing
        except ValueError as error:
            raise click.UsageError(f"leader election: {error}") from None

    @property
    def timing(self) -> Timing:
        """The times of the election."""
        return Timing(
            lease_duration=self.leader_elect_lease_duration,
            renew_deadline=self.leader_elect_renew_deadline,
            retry_period=self.leader_elect_retry_period,
        )


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return value if isinstance(value, timedelta) else parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _duration(flag: str, help_: str, default: timedelta) -> Option:
    return option(flag, help_, default=format_duration(default), type=_Duration())


options = configured_by(
    option("--namespace", "Where the agents' Leases and its own are.", default=NAMESPACE),
    option(
        "--leader-elect/--no-leader-elect",
        "Decide only while it holds the Lease; without that, no other one may run.",
        default=True,
        is_flag=True,
    ),
    _duration(
        "--leader-elect-lease-duration",
        "So long after its last renewal another operator takes the Lease over; whole seconds.",
        LEASE_DURATION,
    ),
    _duration(
        "--leader-elect-renew-deadline",
        "So long after its last renewal an operator writes nothing any more; shorter than the duration.",
        RENEW_DEADLINE,
    ),
    _duration("--leader-elect-retry-period", "Between two renewals, or looks at the Lease.", RETRY_PERIOD),
    *health_options(8081),
    *LOG_OPTIONS,
)
"""Gives a command all options; they are the fields of a Configuration."""
