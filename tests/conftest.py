"""Settings of all tests."""

import gc

from hypothesis import settings

settings.register_profile("vmferry", deadline=None, print_blob=True)  # a busy machine is no defect
settings.load_profile("vmferry")


def pytest_collection_finish() -> None:
    """Spare the collector what lasts as long as the run: modules, and what is known of each test."""
    gc.collect()
    gc.freeze()
