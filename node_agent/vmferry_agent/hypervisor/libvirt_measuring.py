"""What calls of libvirt took, and how they failed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from vmferry_agent.measurements import Measurements


@contextmanager
def timed(name: str, measurements: Measurements) -> Iterator[None]:
    """Measure a call; one that is cancelled counts with what it took until then."""
    began, error = time.monotonic(), None
    try:
        yield
    except libvirt.libvirtError as refused:
        error = str(refused.get_error_code())
        raise
    except TimeoutError:
        error = "deadline"
        raise
    finally:
        measurements.libvirt_called(name, seconds=time.monotonic() - began, error=error)
