"""Logging of both processes: one line per event on stderr, for people and collectors alike."""

import logging
import sys
import time

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


def log_to_stderr(*, verbose: bool = False) -> None:
    """Set logging up; kopf's own messages only from warnings on, unless verbose."""
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    # it warns that it leaves the signals of a process to whose thread it is not: as intended
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    for noisy in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.WARNING)
