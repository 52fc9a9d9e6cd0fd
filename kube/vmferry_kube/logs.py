"""Logging of both processes: one line per event on stderr, for people or for collectors.

What a line is about (object, revision, attempt) goes with it as fields, bound once for all that is done for it.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

from typing_extensions import override

Fields = Mapping[str, str | int]

_TEXT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
_NOTHING: Fields = {}
_bound: ContextVar[Fields] = ContextVar("bound", default=_NOTHING)


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


@contextmanager
def about(fields: Fields) -> Iterator[None]:
    """Put these fields into every line that is logged within, by this task and by those that it creates.

    The mapping itself is kept: what is changed in it later is in the lines from then on.
    """
    token = _bound.set(fields)
    try:
        yield
    finally:
        _bound.reset(token)


class _Text(logging.Formatter):
    """The fields at the end of the first line, as in logfmt."""

    def __init__(self) -> None:
        super().__init__(_TEXT, datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        words = [super().formatMessage(record), *(f"{name}={value}" for name, value in _bound.get().items())]
        return " ".join(words)


class _Json(logging.Formatter):
    """One JSON object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(*, verbose: bool = False, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Set logging up; kopf's own messages only from warnings on, unless verbose."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == LogFormat.JSON else _Text())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    # why a watch ends, `Watch` tells in a line; that its thread leaves the process' signals alone is as intended
    for told in ("kopf._core.reactor.running", "kopf._core.reactor.orchestration"):
        logging.getLogger(told).setLevel(logging.ERROR if verbose else logging.CRITICAL)
    for noisy in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.WARNING)
