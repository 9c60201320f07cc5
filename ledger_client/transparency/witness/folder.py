"""Witness folder: key, name, and of each log the head that was cosigned last; locked by one process.

What a witness is worth is its memory. The head of a log is compared and replaced under one lock, and on disk before a
cosignature of it leaves: of two requests at once one is refused, and after a power cut no older head is cosigned. A
folder whose memory is gone is not served; one that was put back from a backup as a whole looks like any other, so
nobody may put one back (docs/ledger.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from ledger_client.durable_files import sync_folder, write_text
from ledger_client.errors import BadSignature, LedgerClientError, Malformed, VerificationError
from ledger_client.formats.checks import MAX_TIME_S
from ledger_client.formats.cose_key import ED25519_ALGS, PrivateKey, load_private_key, save_private_key
from ledger_client.formats.notes import (
    COSIGNER_KEY,
    LOG_KEY,
    Checkpoint,
    Note,
    Vkey,
    cosigned,
    cosigned_line,
    demand_signed,
    is_key_name,
    line_text,
    parse_checkpoint,
    parse_note,
)
from ledger_client.system_errors import os_error
from ledger_client.transparency.ledger.directory import lock_folder
from ledger_client.transparency.witness.request import BAD, FORBIDDEN, OK, OTHER_SIZE, UNKNOWN, Answer, parse, refusal

_LOG = logging.getLogger("meterseal.witness")
KEY: Final = "witness.pem"
VKEY: Final = "witness.vkey"
MEMORY: Final = "logs"
COSIGNED: Final = "cosigned"
"""An empty file for each log that was ever cosigned: without what ``MEMORY`` has of it, it is not cosigned again."""

_FORGOTTEN: Final = "make a new witness in another folder: this one no longer knows what it has cosigned"


class WitnessError(LedgerClientError):
    """The folder is not one that a witness can serve, or a log is not one that it can follow: what and the way out."""


class Witness:
    """A witness over one folder; safe to call from any thread, until ``close``."""

    def __init__(self, folder: Path, name: str | None, logs: Mapping[str, Vkey]) -> None:
        """``logs``: origin → key. ``name`` is a new witness's name for ever; for one that exists it is the same or
        ``None``. Raises ``WitnessError``, ``LedgerClientError``."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_folder(folder)
        except OSError as error:
            raise WitnessError(f"{folder}: {error.strerror}", "give a folder that this user may write in") from None
        try:
            self._key = _key(folder)
            self.vkey = _vkey(folder, name, self._key)
            _demand_others(self.vkey, logs)
            self._logs = {origin: _Log(folder, origin, vkey, self.vkey) for origin, vkey in logs.items()}
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def add(self, body: bytes, now: Callable[[], float]) -> Answer:
        """The answer to a request; raises OSError where the head cannot be kept: then nothing was cosigned."""
        try:
            asked = parse(body)
        except Malformed as error:
            return Answer(BAD, error.detail + "\n")
        log = self._logs.get(asked.checkpoint.origin)
        if log is None:
            return Answer(UNKNOWN, "this witness does not follow a log of this origin\n")
        try:
            demand_signed(asked.note, log.vkey)
        except BadSignature as error:
            return Answer(FORBIDDEN, error.detail + "\n")
        with log.lock:
            answer = refusal(asked, log.known)
            if answer is None:
                time_s = min(max(int(now()), 1), MAX_TIME_S)
                line = cosigned_line(asked.note.text, self.vkey.name, time_s, self._key)
                signed = tuple(one for one in asked.note.lines if (one.name, one.id) == (log.vkey.name, log.vkey.id))
                log.keep(asked.checkpoint, Note(asked.note.text, (*signed[:1], line)))
                return Answer(OK, line_text(line))
        if answer.why:
            _LOG.warning("%s: refused: %s", asked.checkpoint.origin, answer.why)
        elif answer.status == OTHER_SIZE and asked.old > (0 if log.known is None else log.known.size):
            log.doubt(asked.old)
        return answer

    def newest(self, origin_hash: str) -> bytes | None:
        """The note that was cosigned last of the log whose origin has this SHA-256 in hex."""
        for log in self._logs.values():
            if log.path.name == origin_hash and (note := log.note) is not None:
                return note.encode()
        return None


class _Log:
    """What is kept of one log. ``known`` and ``note`` change under ``lock``."""

    def __init__(self, folder: Path, origin: str, vkey: Vkey, cosigner: Vkey) -> None:
        self.vkey, self.lock = vkey, threading.Lock()
        name = sha256(origin.encode()).hexdigest()
        self.path, self._cosigned = folder / MEMORY / name, folder / COSIGNED / name
        self.note: Note | None = None
        self.known: Checkpoint | None = None
        self._doubted = 0
        self._cosigned.parent.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder)
        try:
            self.note = parse_note(self.path.read_bytes())
            self.known = parse_checkpoint(self.note.text)
            if self.known.origin != origin or cosigned(self.note, cosigner) is None:
                raise Malformed("it is not of this log, or not cosigned with this key")
        except FileNotFoundError:
            if self._cosigned.exists():
                raise WitnessError(f"{self.path}: missing, but {origin} was cosigned", _FORGOTTEN) from None
        except (OSError, VerificationError) as error:
            why = error.detail if isinstance(error, VerificationError) else str(os_error(error))
            raise WitnessError(f"{self.path}: cannot be read ({why})", _FORGOTTEN) from None

    def keep(self, checkpoint: Checkpoint, note: Note) -> None:
        """On disk when this returns; the caller holds ``lock``."""
        write_text(self.path, note.encode().decode())
        if not self._cosigned.exists():  # also where a power cut came between the two
            write_text(self._cosigned, "")
        self.known, self.note = checkpoint, note

    def doubt(self, old: int) -> None:
        """Whoever asks believes that more was cosigned than is known here: anybody can say so, and it may be true."""
        if old > self._doubted:
            self._doubted = old
            size = 0 if self.known is None else self.known.size
            _LOG.warning(
                "%s: somebody says that this witness has cosigned %d entries, and it knows of %d; if its folder was "
                "put back from a backup, make a new witness", self.vkey.name, old, size,
            )  # fmt: skip


def logs_of(texts: tuple[str, ...]) -> dict[str, Vkey]:
    """The logs of options ``ORIGIN=VKEY``, each origin once; raises ``WitnessError``."""
    logs: dict[str, Vkey] = {}
    for text in texts:
        origin, _, rest = text.partition("=")
        try:
            vkey = Vkey.parse(rest)
        except VerificationError as error:
            way_out = "give --log ORIGIN=NAME+HEX+BASE64, as `meterseal-ledger show LDIR` prints it"
            raise WitnessError(f"--log {text!r}: {error.detail}", way_out) from None
        if vkey.kind != LOG_KEY or vkey.name != origin:
            what = (
                f"--log {text!r}: the key is of {vkey.name!r}"
                if vkey.name != origin
                else f"--log {text!r}: is no log's"
            )
            raise WitnessError(what, "give the log's own origin and key, as `meterseal-ledger show LDIR` prints them")
        if origin in logs:
            way_out = "give each log once; a ledger of the same origin and another key is another log"
            raise WitnessError(f"--log {origin}: is given twice", way_out)
        logs[origin] = vkey
    if not logs:
        raise WitnessError("--log: missing", "name at least one log to follow: --log ORIGIN=VKEY")
    return logs


def _key(folder: Path) -> PrivateKey:
    path, memory = folder / KEY, folder / MEMORY
    if not path.exists():
        if memory.exists():
            raise WitnessError(f"{path}: missing, but {memory} is what its key has cosigned", "give a new folder")
        save_private_key(path, PrivateKey.generate())
    elif not memory.exists() and (folder / VKEY).exists():
        way_out = "give a new folder: a witness that has forgotten what it cosigned would cosign another log"
        raise WitnessError(f"{memory}: missing", way_out)
    memory.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder)
    key = load_private_key(path)
    if key.public.alg not in ED25519_ALGS:
        raise WitnessError(f"{path}: is no Ed25519 key", "give a new folder")
    return key


def _vkey(folder: Path, name: str | None, key: PrivateKey) -> Vkey:
    """The witness's own key, its name kept from the first start on."""
    path = folder / VKEY
    if name is not None and not is_key_name(name):
        problem = f"--name {name!r}: is not 1 to 255 printable ASCII characters without space and +"
        raise WitnessError(problem, "give one such as witness.example.org/w1")
    if not path.exists():
        made = Vkey(name or f"witness/{key.public.kid.hex()[:16]}", COSIGNER_KEY, key.public)
        write_text(path, made.text + "\n")
        return made
    try:
        kept = Vkey.parse(path.read_text(encoding="ascii").removesuffix("\n"))
    except (OSError, ValueError, VerificationError):
        raise WitnessError(
            f"{path}: cannot be read", "restore the line that the witness printed at its start"
        ) from None
    if (kept.kind, kept.public.kid) != (COSIGNER_KEY, key.public.kid):
        raise WitnessError(f"{path}: is not of the key in {folder / KEY}", "give a new folder")
    if name not in (None, kept.name):
        raise WitnessError(
            f"{folder}: this is the witness {kept.name!r}", f"leave --name out, or give {name!r} its own"
        )
    return kept


def _demand_others(cosigner: Vkey, logs: Mapping[str, Vkey]) -> None:
    for origin, vkey in logs.items():
        if vkey.public.kid == cosigner.public.kid:
            raise WitnessError(f"--log {origin}: has the key of this witness", "give each a key of its own")
