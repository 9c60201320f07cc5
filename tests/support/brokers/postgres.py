"""A real PostgreSQL, Debian's newest on this machine, on 127.0.0.1: clusters that tests stop, kill and fill, and a
fresh database for each test.

It asks for a password (SCRAM), as the product's does, and does not run as root: its files belong to ``postgres``, or to
``nobody``. Nothing of it is switched off that a careful operator leaves on (``fsync``, ``synchronous_commit``).
"""

from __future__ import annotations

import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.support.processes import RUNNING, Server, free_port

VERSIONS = Path("/usr/lib/postgresql")
OWNER, PASSWORD = "meterseal", "correct horse"
"""The role that owns every database and may do nothing else, and its password."""

_SUPERUSER = "postgres"
_SETTINGS = (
    "listen_addresses=127.0.0.1", "max_connections=60", "shared_buffers=32MB", "max_wal_size=64MB", "min_wal_size=32MB",
    "recovery_init_sync_method=syncfs",  # one call instead of one for each of a thousand files after a kill
)  # fmt: skip
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 * 10**9
"""Where this much is free in memory, a cluster's files are there: syncs cost nothing, and a kill takes nothing."""


def binaries() -> Path:
    """The folder of the newest PostgreSQL's programs."""
    found = [path.parent for path in VERSIONS.glob("*/bin/postgres")]
    assert found, f"there is no PostgreSQL below {VERSIONS}: apt-get install postgresql"
    return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])


def _user() -> str | None:
    """Whom PostgreSQL runs as where the tests run as root, which it refuses."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _as_user(folder: Path, *command: str | Path) -> list[str]:
    """The command as that user, in a folder that it can enter; each step replaces the process, so its id stays."""
    words = ["env", "-C", str(folder), *map(str, command)]
    if (user := _user()) is None:
        return words
    return ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups", *words]


def _give(*paths: Path) -> None:
    if (user := _user()) is not None:
        for path in paths:
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


class Cluster(Server):
    """One PostgreSQL with its own data, kept over ``stop``, ``kill`` and ``start``.

    It listens on ``port``; ``options`` are more settings (``NAME=VALUE``), ``environment`` is added to its own.
    """

    def __init__(self, folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.password_file = folder / "password"
        self.port = free_port()
        self.options = (*_SETTINGS, *options)
        self.environment = environment or {}
        self._copies = 0
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        super().__init__("postgresql", [], "ready to accept connections", folder / "postgresql.log", dict(os.environ))
        self._initialise()

    @property
    def socket_folder(self) -> Path:
        """The folder of its unix socket."""
        return self.folder / "socket"

    def start(self) -> str:
        """Start it and wait until it takes connections: after ``kill``, when it has recovered."""
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        settings = [word for option in self.options for word in ("-c", option)]
        self.command = _as_user(
            self.folder, "env", *environment, binaries() / "postgres", "-D", self.data, "-p", str(self.port),
            "-k", self.socket_folder, *settings,
        )  # fmt: skip
        return super().start()

    def stop(self) -> int:
        """End it as an operator does, its clients with it (SIGINT: a fast shutdown); returns its exit code."""
        return self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut does: all of its processes at once."""
        assert self.process is not None, "postgresql does not run"
        self._signal(signal.SIGSTOP)  # no new process of its while they are counted
        workers = list[int]()
        for pid in children(self.process.pid):
            with suppress(ProcessLookupError):
                workers.append(os.pidfd_open(pid))
                signal.pidfd_send_signal(workers[-1], signal.SIGKILL)
        super().kill()
        for worker in workers:  # a start finds their shared memory in use until the last one has gone
            select.select([worker], [], [])
            os.close(worker)

    def restart(self) -> None:
        """``stop`` and ``start``."""
        self.stop()
        self.start()

    def copy(self) -> Path:
        """Copy the data of the stopped cluster, as a backup that ``put_back`` brings again."""
        assert self.process is None, "stop it before its files are copied"
        self._copies += 1
        kept = self.folder / f"copy-{self._copies}"
        subprocess.run(["cp", "-a", str(self.data), str(kept)], check=True)
        return kept

    def put_back(self, kept: Path) -> None:
        """Let the stopped cluster have the data of a ``copy``: the database of yesterday."""
        assert self.process is None, "stop it before its files change"
        shutil.rmtree(self.data)
        subprocess.run(["cp", "-a", str(kept), str(self.data)], check=True)

    def admin(self, statement: sql.SQL | sql.Composed) -> None:
        """Run one statement as the superuser, in no transaction."""
        with self._admin() as db:
            db.execute(statement)

    def database(self, name: str) -> Database:
        """Make an empty database that belongs to ``OWNER``."""
        identifier, owner = sql.Identifier(name), sql.Identifier(OWNER)
        self.admin(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner))
        return Database(self, name)

    def _admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=_SUPERUSER, password=PASSWORD, dbname="postgres", autocommit=True
        )

    def _initialise(self) -> None:
        self.data.mkdir()
        self.socket_folder.mkdir()
        secret = self.folder / "initial-password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        _give(self.data, self.socket_folder, secret)
        _run(
            self.folder, binaries() / "initdb", "-D", self.data, "-U", _SUPERUSER, "--pwfile", secret, "-A",
            "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        secret.unlink()
        role = f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'"
        _run(self.folder, binaries() / "postgres", "--single", "-D", self.data, "postgres", text=role)


class Database:
    """One database of a cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.password_file = cluster.password_file

    @property
    def url(self) -> str:
        """Its address, without the password, which stands in ``password_file``."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.cluster.port}/{self.name}"

    def connect(self, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as the owner, in autocommit unless ``options`` say otherwise."""
        return psycopg.connect(self.url, password=PASSWORD, **{"autocommit": True} | options)

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one query, on a connection of its own."""
        with self.connect() as db:
            return db.execute(text.encode(), values or None).fetchall()

    def run(self, statements: str) -> None:
        """Run statements that answer nothing."""
        with self.connect() as db:
            db.execute(statements.encode())

    def drop(self) -> None:
        """Remove it, whoever is connected."""
        self.cluster.admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))


def _run(folder: Path, *command: str | Path, text: str = "") -> None:
    done = subprocess.run(_as_user(folder, *command), input=text, text=True, capture_output=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def _home() -> Path | None:
    free = shutil.disk_usage(_MEMORY).free if os.access(_MEMORY, os.W_OK) else 0
    return _MEMORY if free > _MEMORY_BYTES else None


@contextmanager
def cluster(
    options: Sequence[str] = (), *, environment: Mapping[str, str] | None = None, on_disk: bool = False
) -> Iterator[Cluster]:
    """A running cluster of one's own, to be stopped, killed or put back; its folder is removed with it.

    Its files are in memory, where there is room, unless they are to be ``on_disk``, as of a cluster that is measured
    or grows to gigabytes.
    """
    # not below pytest's folder, which nobody but root may enter
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=None if on_disk else _home()) as folder:
        made = Cluster(Path(folder), options, environment)
        try:
            made.start()
            yield made
        finally:
            made.close()


@contextmanager
def database(of: Cluster, number: int) -> Iterator[Database]:
    """An empty database of a running cluster, removed at the end."""
    made = of.database(f"meterseal_{number}")
    try:
        yield made
    finally:
        if of in RUNNING:
            made.drop()
