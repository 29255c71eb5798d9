"""For all tests."""

import signal

from hypothesis import settings

settings.register_profile("ganas", deadline=None)  # a busy machine is no failure
settings.load_profile("ganas")

# A shell that starts the tests in the background has them ignore Ctrl-C, and their child processes too.
signal.signal(signal.SIGINT, signal.default_int_handler)
