"""PostgreSQL of the tests: it stops, is killed, fills up and is of yesterday, as the tests on it expect."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.brokers.full_disk import limited_cluster
from tests.support.brokers.postgres import PASSWORD, Cluster, Database, cluster


@pytest.fixture(scope="module")
def one() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_each_test_has_an_empty_database_that_takes_the_owner_by_password_alone(postgres: Database) -> None:
    assert postgres.password_file.read_text().strip() == PASSWORD
    (found,) = postgres.query(
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace), "
        "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
        "current_setting('fsync'), current_setting('synchronous_commit')"
    )
    assert found == (0, False, "on", "on")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url, password="wrong")


def test_what_was_committed_outlives_a_kill_and_a_stop_and_goes_with_a_database_of_yesterday(one: Cluster) -> None:
    db = one.database("kept")
    db.run("CREATE TABLE facts (n int); INSERT INTO facts VALUES (1)")
    one.stop()
    yesterday = one.copy()
    one.start()
    db.run("INSERT INTO facts VALUES (2)")
    with db.connect() as connection:
        one.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    one.start()
    facts = "SELECT n FROM facts ORDER BY n"
    assert db.query(facts) == [(1,), (2,)]
    one.stop()
    one.put_back(yesterday)
    one.start()
    assert db.query(facts) == [(1,)]


def test_a_full_disk_refuses_rows_until_there_is_space() -> None:
    with limited_cluster() as disk:
        db = disk.cluster.database("filled")
        db.run("CREATE TABLE facts (n int)")
        disk.set(True)
        with pytest.raises(psycopg.errors.DiskFull):
            db.run("INSERT INTO facts SELECT generate_series(1, 100000)")
        disk.set(False)
        db.run("INSERT INTO facts SELECT generate_series(1, 100000)")
        assert db.query("SELECT count(*) FROM facts") == [(100_000,)]
