"""What holds for every test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ledger_client.messages import Catalogue
from tests.support.processes import RUNNING
from tests.tiers.quick import (  # noqa: F401  hooks of pytest
    pytest_addoption,
    pytest_ignore_collect,
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_runtest_teardown,
    pytest_terminal_summary,
)

# a run says the same as the last one of the same code, however busy the machine is
settings.register_profile("seeded", derandomize=True, deadline=None, database=None)
settings.load_profile("seeded")

# whoever runs tests in the background may ignore SIGINT; what a test starts, and stops by Ctrl-C, would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a message that cannot be said is a mistake; in the field its code and its facts are shown
Catalogue.strict = True


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """A test that fails in its middle ends no server; the next run would meet what it holds."""
    yield
    for server in list(RUNNING):
        server.close()
