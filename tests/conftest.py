"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("vmferry", deadline=None, print_blob=True)  # a busy machine is no defect
settings.load_profile("vmferry")
