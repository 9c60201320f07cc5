"""Ledger folder: keys, ``log.db``, ``head``, ``policy.toml``; made at the first start, locked by one process.

The log comes into being whole, with entry 0, under another name; the key gets its own name only after the log has.
So a key without a log is never an interrupted first start: it is a log that was lost, and a ledger that began again
under the same key would contradict every receipt that it has given.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ledger_client.durable_files import rename, write_text
from ledger_client.errors import LedgerClientError, LedgerUnavailable, VerificationError
from ledger_client.formats.checks import is_name
from ledger_client.formats.cose_key import PrivateKey, load_private_key, save_private_key
from ledger_client.formats.merkle import leaf_hash
from ledger_client.formats.notes import LOG_KEY, Vkey
from ledger_client.transparency.ledger.checkpoint import checkpoint_key, origin_of
from ledger_client.transparency.ledger.log_address import ADDRESS, address_of, write_address
from ledger_client.transparency.log.entries import Reader
from ledger_client.transparency.log.head_file import Head, HeadFile
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.log.sqlite import SqliteStore
from ledger_client.transparency.log.store import Store
from ledger_client.transparency.policy.ledger_keys import (
    LedgerKey,
    checkpoint_keys,
    is_key_change,
    key_history,
    sign_rules,
)
from ledger_client.transparency.policy.policy_file import EMPTY_POLICY

if TYPE_CHECKING:
    from ledger_client.transparency.log.postgresql_connection import Address

_LOG = logging.getLogger("meterseal.ledger")

KEY, NEXT_KEY, LOG, HEAD, POLICY, LOCK = "key.pem", "key.next.pem", "log.db", "head", "policy.toml", "lock"
BOOK = "bridge.db"  # in the folder of a bridge to a chain, which has a policy of its own

RULES = (
    "a statement is a signed batch statement of one gateway, checked as strictly as a verifier checks it",
    "by the entries before it its key is enrolled for its gateway, valid at the time of registration and not revoked",
    "batch is one above the gateway's last and prev is the id of the last",
    "a gateway's first statement is taken at any number, one with resume at any number above the last",
    "each range goes on behind the last number registered of its meter and epoch, or begins with 0; a first "
    "statement's begins anywhere, one with resume leaves numbers out, and none ever comes twice",
    "from is not below that of the batch before it, but under resume; iat is at most 2 s before to, and "
    "neither is more than 300 s ahead of the ledger's clock",
    "a claim is signed by a key that is enrolled for its party, and taken by the rules R1 to R4 of docs/claims.md",
    "the same statement or claim again gives its first receipt, another one for a taken number is refused for ever",
)


class LedgerDirError(LedgerClientError):
    """The folder is not one that a ledger can be served from: what, where, and the way out."""


class LedgerDir:
    """An open ledger: its log, its keys, where its policy is. The lock on the folder lasts until ``close``."""

    def __init__(self, path: Path, log: Log, lock: IO[bytes]) -> None:
        """Makes the key of the log's checkpoints where there is none. Raises ``KeyFileError``."""
        self.path = path
        self.log = log
        self.policy = path / POLICY
        self._lock = lock
        with log.read() as entries:
            self._last = entries.last_own()
            own_entries = entries.own_entry_bytes()
        self._keys = present_key(path, log.name, own_entries)
        self.checkpoint_key = checkpoint_key(path)
        named = checkpoint_keys(own_entries)
        origin = named[-1].name if named else origin_of(log.name, self._keys[1][0].key)
        self.vkey = Vkey(origin, LOG_KEY, self.checkpoint_key.public)

    def keys(self, entries: Reader) -> tuple[PrivateKey, list[LedgerKey]]:
        """The key that signs at this state of the log, and the history of all; safe to call from any thread.

        Raises ``LedgerUnavailable`` where the log has handed over to a key that is not here.
        """
        last = entries.last_own()
        if last > self._last:
            try:
                if any(map(is_key_change, entries.own_entry_bytes(self._last))):
                    self._keys = present_key(self.path, self.log.name, entries.own_entry_bytes())
            except LedgerClientError as error:
                raise LedgerUnavailable(str(error)) from error
            self._last = last
        return self._keys

    def close(self) -> None:
        """Close the log and let go of the folder."""
        self.log.close()
        self._lock.close()


def open_dir(path: Path, name: str | None, now: Callable[[], float] = time.time) -> LedgerDir:
    """Open the ledger in ``path`` to serve it, making what a first start makes.

    ``name`` is a new ledger's name for ever (default ``demo-ledger``); for one that exists it is the same or ``None``.
    Raises ``LedgerDirError``, ``LogError``, ``KeyFileError``.
    """
    if name is not None and not is_name(name):
        raise LedgerDirError(f"--name {name!r}: a ledger's name is [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
    with ExitStack() as stack:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context(lock_folder(path))
            _begin(path, name, int(now()))
        except OSError as error:
            raise LedgerDirError(f"{path}: {error.strerror}", "give a folder that this user may write in") from error
        log = stack.enter_context(closing(_opened(path, lock)))
        if name is not None and log.name != name:
            raise LedgerDirError(
                f"{path}: this is the ledger {log.name!r}", f"leave --name out, or give {name!r} its own folder"
            )
        with log.write():  # nobody else may, and the disk takes it
            made = LedgerDir(path, log, lock)
        stack.pop_all()
        return made


def make_dir(path: Path, name: str | None, database: str | None = None, password_file: str | None = None) -> str:
    """Make a new ledger in ``path`` and give its name; its log is in ``log.db``, or in the database at an address.

    Raises ``LedgerDirError`` where there is one; a first start that was cut short goes on.
    """
    if has_log(path) and ((path / KEY).exists() or not (path / ADDRESS).exists()):
        raise LedgerDirError(f"{path}: there is a ledger already", f"serve it: meterseal-ledger serve {path}")
    if password_file is not None and database is None:
        raise LedgerDirError("--password-file: has no effect without a database", "add --database URL")
    if database is not None:
        if (path / KEY).exists():
            raise LedgerDirError(f"{path / KEY}: has signed receipts for another log", "give a new folder")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_address(path, database, password_file)
        except OSError as error:
            raise LedgerDirError(f"{path}: {error.strerror}", "give a folder that this user may write in") from error
    made = open_dir(path, name)
    made.close()
    return made.log.name


def has_log(path: Path) -> bool:
    """Whether a folder is a ledger's, and not a bridge's to a chain, which has no log."""
    return (path / LOG).exists() or (path / ADDRESS).exists()


def open_log(path: Path, *, read_only: bool = False) -> Log:
    """The log of the ledger in a folder, which contains what that has signed for; a process may be serving it.

    Raises ``LogError``, and ``LogBehind`` where it does not.
    """
    return _opened(path, None, read_only=read_only)


def _opened(path: Path, lock: IO[bytes] | None, *, read_only: bool = False) -> Log:
    """``lock`` is held by whoever serves the folder."""
    log = Log(_store(path, lock, read_only), HeadFile(path / HEAD), read_only=read_only)
    try:
        if not read_only and log.adopt():
            _LOG.warning("%s: missing; the log as it is counts from now on (docs/ledger.md)", path / HEAD)
        with log.read():
            return log
    except BaseException:
        log.close()
        raise


def policy_of(path: Path) -> Path:
    """The policy file of the ledger, or bridge, in ``path``; raises ``LedgerDirError`` where there is neither."""
    if not has_log(path) and not (path / BOOK).exists():
        raise LedgerDirError(f"{path}: no ledger here", f"make one: meterseal-ledger init {path}")
    return path / POLICY


def lock_folder(path: Path) -> IO[bytes]:
    """Hold the folder until the file is closed: two processes in one would each be right alone, wrong together."""
    file = (path / LOCK).open("a+b")
    if not _locked(file) and not _locked_later(file):
        holder = _holder(file)[0]
        file.close()
        raise LedgerDirError(f"{path}: process {holder} serves this folder", "stop it first, or use that one") from None
    file.truncate(0)
    file.write(f"{os.getpid()} {secrets.token_hex(16)}".encode())
    file.flush()
    return file


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_later(file: IO[bytes]) -> bool:
    """A command may be looking whether the folder is served, which takes no time."""
    time.sleep(0.02)
    return _locked(file)


def _holder(file: IO[bytes]) -> tuple[str, str]:
    """Process id and token of the process that locks a folder."""
    file.seek(0)
    pid, _, token = file.read(64).decode("ascii", "replace").strip().partition(" ")
    return pid or "unknown", token


def _store(path: Path, lock: IO[bytes] | None, read_only: bool) -> Store:
    address = address_of(path)
    if address is None:
        return SqliteStore.open(path / LOG, read_only=read_only)
    from ledger_client.transparency.log.postgresql import PostgresqlStore
    from ledger_client.transparency.log.postgresql_connection import Door

    served = _token(path) if lock is None else None
    token = served or (secrets.token_hex(16) if lock is None else _holder(lock)[1])
    return PostgresqlStore(address, Door(address, token, guest=served is not None))


def _token(path: Path) -> str | None:
    """Of the process that serves the folder, by which it and its commands write to the log; None: none does."""
    try:
        with (path / LOCK).open("rb") as file:
            return None if _locked(file) else _holder(file)[1]
    except FileNotFoundError:
        return None


def _begin(path: Path, name: str | None, now_s: int) -> None:
    """What a first start makes, or makes up for one that was cut short."""
    address = address_of(path)
    if address is None:
        there = (path / LOG).exists()
    else:
        from ledger_client.transparency.log import postgresql

        there = (path / KEY).exists() or postgresql.exists(address)
    if not there:
        _create(path, name or "demo-ledger", now_s, address)
    elif not (path / KEY).exists() and _new(path / KEY).exists():
        rename(_new(path / KEY), path / KEY)  # a first start that was interrupted between the two names


def _create(path: Path, name: str, now_s: int, address: Address | None) -> None:
    if (path / KEY).exists():
        raise LedgerDirError(
            f"{path / LOG}: missing, but {KEY} has signed receipts for it",
            f"restore {LOG} from a backup, or start a new ledger in another folder",
        )
    for leftover in (_new(path / KEY), path / HEAD, *path.glob(LOG + ".new*")):
        leftover.unlink(missing_ok=True)
    if not (path / POLICY).exists():
        write_text(path / POLICY, EMPTY_POLICY)
    key = PrivateKey.generate()
    save_private_key(_new(path / KEY), key)
    vkey = Vkey(origin_of(name, key.public), LOG_KEY, checkpoint_key(path).public)
    rules = sign_rules(name, now_s, RULES, key, vkey)
    if address is None:
        log = Log.create(_new(path / LOG), name)
        with log.write() as entries:
            entries.append(rules, None)
        log.close()  # the last connection moves everything into the one file
        rename(_new(path / LOG), path / LOG)
    else:
        from ledger_client.transparency.log import postgresql

        postgresql.create(address, name, rules)
    HeadFile(path / HEAD).begin(Head(1, leaf_hash(rules)))
    rename(_new(path / KEY), path / KEY)


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def present_key(path: Path, name: str, entries: list[bytes]) -> tuple[PrivateKey, list[LedgerKey]]:
    """The key that signs now, as the ledger's ``own`` entries say, and the history of all.

    Raises ``LedgerDirError``, ``KeyFileError``. A change of key is in the log before the new key has its place: whoever
    comes between the two puts it there.
    """
    present = _present(path / KEY, name, entries)
    if isinstance(present, tuple):
        return present
    following = _present(path / NEXT_KEY, name, entries) if (path / NEXT_KEY).exists() else present
    if isinstance(following, tuple):
        with suppress(OSError):  # another process has just done it, or this one may not; the next one will
            rename(path / NEXT_KEY, path / KEY)
        return following
    again = _present(path / KEY, name, entries)  # another process may have given the new key its place in between
    if isinstance(again, tuple):
        return again
    raise LedgerDirError(f"{path / KEY}: not the key of {LOG} ({again.detail})", "restore the two from one backup")


def _present(path: Path, name: str, entries: list[bytes]) -> tuple[PrivateKey, list[LedgerKey]] | VerificationError:
    """The key in a file with the history that leads to it, or why none does."""
    key = load_private_key(path)
    try:
        return key, key_history(name, key.public, entries)
    except VerificationError as error:
        return error
