"""Sizes in bytes and rates in bytes per second, as Kubernetes quantities: `64Mi`, `1G`, `52428800`."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from vmferry_api.bounds import within
from vmferry_api.schemas import Rule

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
PATTERN = "^([0-9]+([.][0-9]+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P|)$"
"""Fewer forms than Kubernetes' quantities have: no exponents, no signs, no thousandths of a byte."""
MAX_LENGTH = 32
MOST = 2**60
"""An exbibyte; what is more is taken for this, and what is negative for none, so that all figures made of them
keep within what a float can hold."""
_MEBI = 2**20


def parse_quantity(text: str) -> int:
    """Read a quantity of bytes; fractions of a byte are rounded up, as Kubernetes does.

    Raises:
        ValueError: It is not one; the message shows how one is written.
    """
    match = re.fullmatch(PATTERN[1:-1], text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 64Mi, 1G or 52428800")
    number, _, suffix = match.groups()
    exact = Decimal(number) * (_BINARY | _DECIMAL)[suffix]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def format_quantity(value: int) -> str:
    """Write bytes with the largest binary suffix that keeps them exact."""
    for suffix, factor in reversed(_BINARY.items()):
        if value and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def rounded(value: float) -> int:
    """Round a measured size to what is worth reading: whole Mi from 16 Mi on, else whole Ki."""
    unit = _MEBI if value >= 16 * _MEBI else 2**10
    return round(value / unit) * unit


def _validate(value: Any) -> Any:  # noqa: ANN401 - whatever the JSON holds; pydantic checks the rest
    return parse_quantity(value) if isinstance(value, str) else value


Quantity = Annotated[
    int,
    BeforeValidator(_validate),
    within(0, MOST),
    PlainSerializer(format_quantity, return_type=str),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": MAX_LENGTH}),
]


def is_quantity(value: str) -> str:
    """The CEL expression of whether a value can be read; the same as parse_quantity says of it."""
    return f"(type({value}) == int || {value}.matches('{PATTERN}'))"


def in_cel(value: str) -> str:
    """The CEL expression of a value that can be read."""
    return f"quantity(type({value}) == int ? string({value}) : {value})"


def quantity_rule(field: str, *, least: str = "1Mi", most: str = "1Ti", example: str = "200Mi") -> Rule:
    """The CEL rule of a size or rate field, which may be written as an integer too."""
    as_quantity = in_cel("self")
    return Rule(
        rule=f"{is_quantity('self')}"
        f" && {as_quantity}.compareTo(quantity('{least}')) >= 0"
        f" && {as_quantity}.compareTo(quantity('{most}')) <= 0",
        message=f"{field} must be a quantity such as {example}, from {least} to {most}",
    )
