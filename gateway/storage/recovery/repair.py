"""Repair of a damaged database at a start: detected, set aside whole, and recovered into a new one.

Quick looks before every start, SQLite's own check at once or in the background (``at_start``, ``check``). A recovery
is built beside the damaged database under another name; one rename makes it valid, and whatever a kill has left of the
exchange that follows is finished by the next start. What was damaged is never written to, overwritten or deleted.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gateway.config.device_keys import Keys
from gateway.config.model import Config
from gateway.errors import Damaged, DiskFull, StoreError
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.failpoints import failpoint
from gateway.records import GATEWAY
from gateway.storage.capacity.disk_space import Reserve
from gateway.storage.database import Database
from gateway.storage.files import log_path, missing
from gateway.storage.recovery.salvage import Found, TrustedKeys, proven, salvage
from gateway.storage.recovery.sqlite_pages import Pages, Row
from gateway.storage.rows import Repair
from ledger_client.durable_files import sync_folder
from ledger_client.messages import Sentence
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.repair")

AT_ONCE_BYTES = 8 * 1024 * 1024
"""Up to this size SQLite's quick check is made before a start, beyond it in the background after it."""
NEWEST = 200  # records that are proven before a start
FAR_FUTURE_S = 1 << 40  # a receipt is judged by its signature here, not by this machine's clock
WORDS = 300  # characters of a reason
_FILES = ("", "-wal", "-shm")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the database found wrong, mostly in SQLite's words; ``whole``: the contents of every index,
    too."""

    flaws: tuple[Sentence, ...]
    whole: bool


def check(path: Path, *, whole: bool = False) -> Checked:
    """Check a database that others may be writing to. Takes long: it reads the whole file. Raises StoreError where it
    cannot be opened for another reason than being damaged."""
    return Checked(tuple(Database.look(path, check="integrity" if whole else "quick")), whole)


def check_large(path: Path) -> Checked:
    """The quick check that a start did not wait for; for a small database it was made then."""
    return check(path) if path.stat().st_size > AT_ONCE_BYTES else Checked((), whole=False)


def flawed(path: Path) -> Path:
    """The note beside a database that it was found damaged while it was in use: the next start checks it first."""
    return path.with_name(path.name + ".flawed")


def note_flaws(path: Path, flaws: Sequence[Sentence]) -> None:
    """Leave that note; on a disk that takes nothing there is none, and the next start has its own looks."""
    try:
        flawed(path).write_text("".join(f"{in_language(flaw, 'en')}\n" for flaw in flaws))
    except OSError as error:
        log.warning("%s: %s", flawed(path), error.strerror)


def open_store(config: Config, keys: Keys, trust: Trust) -> Database:
    """The gateway's database, sound; a damaged one is set aside and recovered before. Call with the data folder taken.

    Raises StoreError; DiskFull where there is no room for the recovery, and nothing has changed then.
    """
    path = config.database
    witness = _witness(config, keys, trust)
    try:
        _finish(path)
        flaws = _with_room(path, lambda: at_start(path, witness))
    except OSError as error:
        raise StoreError(Message("database-error", path=str(path), error=os_error(error))) from None
    if not flaws:
        try:
            return _with_room(path, lambda: Database(path))
        except Damaged as error:
            flaws = [error.sentence]
    recover(path, witness, flaws)
    return Database(path)


def _with_room(path: Path, look: Callable[[], T]) -> T:
    """Opening a database needs some bytes beside it: a full disk is given the reserve for them."""
    try:
        return look()
    except DiskFull as error:
        if not Reserve(path.parent).release():
            raise
        log.error("%s; releasing the reserve", error.problem)
        return look()


def at_start(path: Path, witness: TrustedKeys) -> list[Sentence]:
    """What is wrong with a database, as far as a look before a start can find without keeping it waiting."""
    noted = flawed(path).exists()
    if (flaws := _files(path)) or not path.exists():
        return flaws
    at_once = noted or path.stat().st_size <= AT_ONCE_BYTES
    flaws = Database.look(path, check="quick" if at_once else None) or _newest(path, witness)
    if noted and not flaws:
        flawed(path).unlink(missing_ok=True)
    return flaws


def _files(path: Path) -> list[Sentence]:
    """What the files alone tell: SQLite drops a log whose database is gone, and passes over what is damaged in one."""
    if gone := missing(path):
        return [gone]
    if not log_path(path).exists() or not path.exists():
        return []
    pages = Pages(path)
    pages.close()
    return [Message("repair-log-damaged")] if pages.log_damaged else []


def _newest(path: Path, witness: TrustedKeys) -> list[Sentence]:
    """The newest records and each meter's newest of every kind, on which a new epoch builds, must hold."""
    try:
        store = Database(path, read_only=True)
    except Damaged as error:
        return [error.sentence]
    except StoreError:
        return []  # of an older or newer version, or not begun: the start itself says so
    try:
        rows = store.records.newest_places(NEWEST, [GATEWAY, *witness.periods_ms])
        store.batches.cuts(), store.batches.last(), store.anchors.known(), store.anchors.conflicts(), store.totals()
    except StoreError as error:
        return [error.sentence]
    finally:
        store.close()
    expected: dict[str, bytes | None] = {}
    for place, row in rows:
        record = proven(Row(place, (None, *row)), witness, expected, known_keys=False)
        if record is None:
            return [Message("repair-record-invalid", place=place)]
        expected[record.claims.meter] = record.claims.prev
    return []


def _witness(config: Config, keys: Keys, trust: Trust) -> TrustedKeys:
    owners = {**keys.meters, GATEWAY: keys.statement}
    known = {(owner, key.public.kid): key.public for owner, key in owners.items()}
    for entry in trust.keys:
        if entry.gateway == config.gateway_id and entry.role in ("meter", "statement"):
            known[entry.meter or GATEWAY, entry.kid] = entry.key
    periods = {name: meter.every for name, meter in config.meters.items()}
    ledgers = [ledger.name for ledger in config.document.ledger]
    return TrustedKeys(config.gateway_id, known, trust, FAR_FUTURE_S, periods, ledgers)


# — the recovery, and the exchange —


def recover(path: Path, witness: TrustedKeys, flaws: Sequence[Sentence]) -> Found:
    """Set a damaged database aside and put what can be read of it in its place. Raises StoreError: nothing changed."""
    now, why = time.time(), in_language(flaws[0], "en")
    aside = _free(path, f"damaged-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}")
    log.error("%s is damaged (%s); recovering what can be read", path, why)
    building = path.with_name(path.name + ".recovering")
    try:
        found = _build(path, building, witness, Repair(0, int(now * 1000), aside.name, why[:WORDS], *[0] * 7))
        ready = path.with_name(aside.name.replace(".damaged-", ".recovered-"))
        building.rename(ready)
        sync_folder(path.parent)
    except StoreError as error:
        _clear(path)
        need_bytes = path.stat().st_size if path.exists() else 0
        raise type(error)(
            Message("repair-no-space", path=str(path), why=error.sentence, need_bytes=need_bytes)
        ) from None
    except OSError as error:
        _clear(path)
        raise StoreError(Message("repair-failed", path=str(path), error=os_error(error))) from None
    failpoint("recovered")
    _exchange(path, ready)
    log.error("recovered %d records and %d batches, %d records lost; the damaged database is kept as %s",
              found.records, found.batches, found.lost, aside)  # fmt: skip
    return found


def _build(path: Path, building: Path, witness: TrustedKeys, repair: Repair) -> Found:
    """The recovered database, durable, under its first name."""
    pages, store = Pages(path), Database(building)
    try:
        found = salvage(pages, store, witness)
        number = max((earlier.id for earlier in store.repairs.all()), default=0) + 1
        numbers = found.numbers
        facts = (found.records, found.lost, found.batches, len(numbers), found.last_id)
        ends = max(numbers, default=-1), max(numbers.values(), default=0)
        made = Repair(number, repair.repaired_ms, repair.file, repair.why, *facts, *ends)
        with store.transaction():
            store.repairs.add(made, reported=False)
    finally:
        pages.close()
        store.close()
    if log_path(building).exists():
        raise DiskFull(Message("repair-log-not-copied", path=str(building)))
    with building.open("rb") as file:
        os.fsync(file.fileno())
    return found


def _exchange(path: Path, ready: Path) -> None:
    """The damaged files get their name aside, the recovered one theirs; durable. Can be done again after any kill."""
    name = ready.name.replace(".recovered-", ".damaged-")
    for suffix in reversed(_FILES):
        source, target = path.with_name(path.name + suffix), path.with_name(name + suffix)
        if source.exists():
            if target.exists():  # somebody has put another one in place meanwhile
                target = _free(path, name.removeprefix(path.name + "."))
                target = target.with_name(target.name + suffix)
            source.rename(target)
            failpoint("aside")
    sync_folder(path.parent)
    ready.rename(path)
    flawed(path).unlink(missing_ok=True)
    sync_folder(path.parent)
    failpoint("repaired")


def _finish(path: Path) -> None:
    """Finish what a killed start has begun: an exchange goes on, a recovery starts from the beginning."""
    try:
        for ready in sorted(path.parent.glob(path.name + ".recovered-*")):
            log.warning("%s: finishing the replacement by the recovered database", path)
            _exchange(path, ready)
    except OSError as error:
        raise StoreError(Message("repair-not-exchanged", path=str(path), error=os_error(error))) from None
    _clear(path)


def _clear(path: Path) -> None:
    """Delete the files of an interrupted recovery."""
    for suffix in (*_FILES, "-journal"):
        path.with_name(f"{path.name}.recovering{suffix}").unlink(missing_ok=True)


def _free(path: Path, name: str) -> Path:
    """A name beside the database that no file of a database bears."""
    for n in range(1, 1000):
        found = path.with_name(f"{path.name}.{name}" + (f"-{n}" if n > 1 else ""))
        if not any(found.with_name(found.name + suffix).exists() for suffix in _FILES):
            return found
    raise StoreError(Message("repair-too-many", folder=str(path.parent)))
