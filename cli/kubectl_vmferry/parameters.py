"""How sizes, rates and durations are written on the command line: as in the API."""

from datetime import timedelta

import click

from vmferry_api.durations import parse_duration
from vmferry_api.quantities import parse_quantity


class Quantity(click.ParamType[int]):
    """A size in bytes or a rate in bytes per second, such as 500Mi."""

    name = "quantity"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return value if isinstance(value, int) else parse_quantity(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[timedelta]):
    """A duration such as 10m."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        try:
            return value if isinstance(value, timedelta) else parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
