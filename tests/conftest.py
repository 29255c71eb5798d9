"""For all tests."""

from hypothesis import settings

settings.register_profile("ganas", deadline=None)  # a busy machine is no failure
settings.load_profile("ganas")
