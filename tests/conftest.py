"""What holds for every test."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:  # a test that takes one names its type, and so what it needs installed
    from tests.support.brokers.postgres import Cluster, Database

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


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """One PostgreSQL for all tests of this process; a test that stops or fills one makes its own (``cluster``)."""
    from tests.support.brokers.postgres import cluster

    with cluster() as shared:
        yield shared


_DATABASES = itertools.count(1)


@pytest.fixture
def postgres(postgres_cluster: Cluster) -> Iterator[Database]:
    """An empty database of one's own."""
    from tests.support.brokers.postgres import database

    with database(postgres_cluster, next(_DATABASES)) as fresh:
        yield fresh
