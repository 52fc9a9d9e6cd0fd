"""Whether a command has said what a page shows: the same words, whatever the figures."""

import re
from collections.abc import Sequence

_DATE = r"\d{4}-\d\d-\d\d"
_NUMBER = r"\d+(?:\.\d+)?\s?(?:ms|[smhd]|[KMGT]i?B?|B|%)?"
_LARGER_PART = r"\d+ [dhm] (?=\d+ [hms](?![\w-]))"
"""As the first in `1 m 2 s`."""
_QUANTITY = re.compile(rf"(?<![\w-])(?:{_DATE}|(?:{_LARGER_PART})?(?:{_NUMBER})+)(?![\w-])")
_MORE = "…"
"""As a line: any number of lines. Within a line: any text."""


def missing(shown: Sequence[str], said: str) -> str | None:
    """The first line shown that was not said, after those before it; None: all were."""
    rest = [_plain(line) for line in said.splitlines()]
    for line in shown:
        if line.strip() == _MORE:
            continue
        place = _find(_plain(line), rest)
        if place is None:
            return line
        rest = rest[place + 1 :]
    return None


def _find(wanted: str, lines: Sequence[str]) -> int | None:
    pattern = ".*".join(re.escape(part) for part in re.split(rf" ?{_MORE} ?", wanted))
    return next((place for place, line in enumerate(lines) if re.fullmatch(pattern, line)), None)


def _plain(line: str) -> str:
    """Figures as #, rulers and spaces once."""
    return " ".join(_QUANTITY.sub("#", re.sub(r"─+", "─", line)).split())
