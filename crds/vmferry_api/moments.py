"""Points in time as the API writes them, in RFC 3339's form: `2026-11-30T10:00:00Z`."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AwareDatetime,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from vmferry_api.bounds import within

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No clock of a node says less or more: by such a one its agent finds the API server's certificate invalid. What
says more all the same is taken for this, so that it can be added to any duration."""
PATTERN = (
    "^(19[7-9][0-9]|2[01][0-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""In the place of the schema's `format`: by that, API servers take a list for a time, and fail at each apply that
follows."""


Moment = Annotated[
    AwareDatetime,
    within(EARLIEST, LATEST),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]


def _or_latest(value: object, read: ValidatorFunctionWrapHandler) -> datetime:
    try:
        moment: datetime = read(value)
    except ValidationError:
        return LATEST
    return moment


AnyMoment = Annotated[Moment, WrapValidator(_or_latest)]
"""One without which all around it could not be read: what is no moment (a 30th of February, say) is taken for the
latest, so that by it nothing is ever due."""
