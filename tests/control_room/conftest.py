"""A PostgreSQL for the tests of one worker, and a database with the control room's schema for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from control_room.store import schema
from control_room.store.connection import Database, connect
from tests.support.brokers import postgres

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """Running, for tests that do not stop it."""
    with postgres.cluster() as made:
        yield made


@pytest.fixture
def database(cluster: postgres.Cluster) -> Iterator[postgres.Database]:
    """Empty."""
    with postgres.database(cluster, next(_NUMBERS)) as made:
        yield made


@pytest.fixture(scope="session")
def session_db(cluster: postgres.Cluster) -> Iterator[Database]:
    """One that many examples of a test share."""
    with postgres.database(cluster, 0) as database:
        made = connect(database.url, database.password_file)
        schema.make(made)
        yield made
        made.close()


@pytest.fixture
def db(database: postgres.Database) -> Iterator[Database]:
    """A connection to a database with the schema."""
    made = connect(database.url, database.password_file)
    schema.make(made)
    yield made
    made.close()
