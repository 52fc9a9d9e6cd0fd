"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("vmferry", deadline=None)  # a busy machine is no defect
settings.load_profile("vmferry")
