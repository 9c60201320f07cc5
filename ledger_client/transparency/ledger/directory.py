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
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ledger_client.durable_files import rename, write_text
from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.formats.checks import is_name
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.formats.merkle import leaf_hash
from ledger_client.formats.notes import LOG_KEY, Vkey
from ledger_client.tokens.calls import STANDARD, Limits
from ledger_client.transparency.ledger.checkpoint import checkpoint_key, origin_of
from ledger_client.transparency.ledger.held_key import (
    KEY,
    TOKEN_KEY,
    HeldKey,
    KeyUnavailable,
    LedgerDirError,
    LedgerSigner,
    TokenPlace,
    has_key,
    new_key,
    present_key,
    write_place,
)
from ledger_client.transparency.ledger.log_address import ADDRESS, address_of, write_address
from ledger_client.transparency.log.entries import Reader
from ledger_client.transparency.log.head_file import Head, HeadFile
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.log.sqlite import SqliteStore
from ledger_client.transparency.log.store import Store
from ledger_client.transparency.policy.ledger_keys import LedgerKey, checkpoint_keys, is_key_change, sign_rules
from ledger_client.transparency.policy.policy_file import EMPTY_POLICY

if TYPE_CHECKING:
    from ledger_client.transparency.log.postgresql_connection import Address

_LOG = logging.getLogger("meterseal.ledger")

LOG, HEAD, POLICY, LOCK = "log.db", "head", "policy.toml", "lock"
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


class LedgerDir:
    """An open ledger: its log, its keys, where its policy is. The lock on the folder lasts until ``close``."""

    def __init__(self, path: Path, log: Log, lock: IO[bytes], limits: Limits = STANDARD) -> None:
        """Makes the key of the log's checkpoints where there is none. Raises ``KeyFileError``, ``TokenError``."""
        self.path = path
        self.log = log
        self.policy = path / POLICY
        self._lock, self._limits = lock, limits
        with log.read() as entries:
            self._last = entries.last_own()
            own_entries = entries.own_entry_bytes()
        held, history = present_key(path, log.name, own_entries)
        self.checkpoint_key = checkpoint_key(path)
        named = checkpoint_keys(own_entries)
        origin = named[-1].name if named else origin_of(log.name, history[0].key)
        self.vkey = Vkey(origin, LOG_KEY, self.checkpoint_key.public)
        self._keys = held.signer(limits), history

    def away(self) -> KeyUnavailable | None:
        """Why nothing can be signed just now: the key is in a token that is away."""
        return self._keys[0].away

    def keys(self, entries: Reader) -> tuple[LedgerSigner, list[LedgerKey]]:
        """The key that signs at this state of the log, and the history of all; safe to call from any thread.

        Raises ``LedgerUnavailable`` where the log has handed over to a key that is not here.
        """
        last = entries.last_own()
        if last > self._last:
            try:
                if any(map(is_key_change, entries.own_entry_bytes(self._last))):
                    held, history = present_key(self.path, self.log.name, entries.own_entry_bytes())
                    before, self._keys = self._keys[0], (held.signer(self._limits), history)
                    before.close()
            except LedgerClientError as error:
                raise LedgerUnavailable(str(error)) from error
            self._last = last
        return self._keys

    def close(self) -> None:
        """Close the log and let go of the folder."""
        self._keys[0].close()
        self.log.close()
        self._lock.close()


def open_dir(
    path: Path,
    name: str | None,
    now: Callable[[], float] = time.time,
    *,
    key: TokenPlace | None = None,
    limits: Limits = STANDARD,
) -> LedgerDir:
    """Open the ledger in ``path`` to serve it, making what a first start makes.

    ``name`` is a new ledger's name for ever (default ``demo-ledger``), ``key`` where its key is, if not in a file; for
    one that exists both are the same or ``None``. ``limits`` are those of a token. Raises ``LedgerDirError``,
    ``LogError``, ``KeyFileError``, ``TokenError``, and ``KeyAway`` where a first start's key cannot be made.
    """
    if name is not None and not is_name(name):
        raise LedgerDirError(f"--name {name!r}: a ledger's name is [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
    with ExitStack() as stack:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context(lock_folder(path))
            _begin(path, name, int(now()), key)
        except OSError as error:
            raise LedgerDirError(f"{path}: {error.strerror}", "give a folder that this user may write in") from error
        log = stack.enter_context(closing(_opened(path, lock)))
        if name is not None and log.name != name:
            raise LedgerDirError(
                f"{path}: this is the ledger {log.name!r}", f"leave --name out, or give {name!r} its own folder"
            )
        with log.write() as entries:  # nobody else may, and the disk takes it
            if key is not None:
                _demand_place(present_key(path, log.name, entries.own_entry_bytes())[0], key)
        made = LedgerDir(path, log, lock, limits)
        stack.pop_all()
        return made


def _demand_place(held: HeldKey, wanted: TokenPlace) -> None:
    """Raises ``LedgerDirError`` unless a ledger's key is where the command line says."""
    if held.key != wanted:
        raise LedgerDirError(
            f"{held.path}: the key of this ledger is not at --key-uri, --pkcs11-module and --pin-file",
            "leave these out; to have another key: meterseal-ledger rotate DIR --to URI",
        )


def make_dir(
    path: Path,
    name: str | None,
    database: str | None = None,
    password_file: str | None = None,
    key: TokenPlace | None = None,
) -> str:
    """Make a new ledger in ``path`` and give its name; its log is in ``log.db``, or in the database at an address, its
    key in a file, or in the token of ``key``.

    Raises ``LedgerDirError`` where there is one; a first start that was cut short goes on.
    """
    if has_log(path) and (has_key(path) or not (path / ADDRESS).exists()):
        raise LedgerDirError(f"{path}: there is a ledger already", f"serve it: meterseal-ledger serve {path}")
    if password_file is not None and database is None:
        raise LedgerDirError("--password-file: has no effect without a database", "add --database URL")
    if database is not None:
        if has_key(path):
            raise LedgerDirError(f"{path}: its key has signed receipts for another log", "give a new folder")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_address(path, database, password_file)
        except OSError as error:
            raise LedgerDirError(f"{path}: {error.strerror}", "give a folder that this user may write in") from error
    made = open_dir(path, name, key=key)
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


def _begin(path: Path, name: str | None, now_s: int, key: TokenPlace | None) -> None:
    """What a first start makes, or makes up for one that was cut short."""
    address = address_of(path)
    if address is None:
        there = (path / LOG).exists()
    else:
        from ledger_client.transparency.log import postgresql

        there = has_key(path) or postgresql.exists(address)
    if not there:
        _create(path, name or "demo-ledger", now_s, address, key)
    elif not has_key(path):
        for file in (path / KEY, path / TOKEN_KEY):
            if _new(file).exists():
                rename(_new(file), file)  # a first start that was interrupted between the two names


def _create(path: Path, name: str, now_s: int, address: Address | None, place: TokenPlace | None) -> None:
    if has_key(path):
        raise LedgerDirError(
            f"{path / LOG}: missing, but the key of this folder has signed receipts for it",
            f"restore {LOG} from a backup, or start a new ledger in another folder",
        )
    for leftover in (_new(path / KEY), _new(path / TOKEN_KEY), path / HEAD, *path.glob(LOG + ".new*")):
        leftover.unlink(missing_ok=True)
    if not (path / POLICY).exists():
        write_text(path / POLICY, EMPTY_POLICY)
    held = _first_key(path, place)
    vkey = Vkey(origin_of(name, held.public), LOG_KEY, checkpoint_key(path).public)
    signer = held.signer()
    rules = sign_rules(name, now_s, RULES, signer, vkey)
    signer.close()
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
    rename(_new(held.path), held.path)


def _first_key(path: Path, place: TokenPlace | None) -> HeldKey:
    """A new ledger's key, in a file that has not its own name yet, or in its token."""
    if place is not None:
        public = new_key(place, path)
        write_place(_new(path / TOKEN_KEY), place, public)
        return HeldKey(path / TOKEN_KEY, public, place)
    key = PrivateKey.generate()
    save_private_key(_new(path / KEY), key)
    return HeldKey(path / KEY, key.public, key)


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")
