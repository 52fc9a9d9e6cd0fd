"""Settings of all tests."""

import gc
import os

from hypothesis import settings

# a busy machine is no defect; new examples are looked for wherever a failure holds up nobody
settings.register_profile("vmferry", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("vmferry")


def pytest_collection_finish() -> None:
    """Spare the collector what lasts as long as the run: modules, and what is known of each test."""
    gc.collect()
    gc.freeze()
