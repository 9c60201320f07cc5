"""Cosignatures of witnesses for a ledger's checkpoints (C2SP tlog-witness): asked for each minute, in a thread.

A witness that is silent, ahead of this log or of another opinion costs a line of the output and a figure; nothing
waits for it. Of what was cosigned the newest note is kept for each number of cosignatures, so that a witness that
misses a minute takes nothing from whoever asks for as many as there were.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ledger_client.errors import LedgerClientError, LedgerUnavailable, VerificationError
from ledger_client.formats.notes import COSIGNER_KEY, Checkpoint, Line, Note, Vkey, cosigned, parse_lines
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.witness.request import SIZE_TYPE, encode
from ledger_client.transport.access import Access, demand_http
from ledger_client.transport.bounded_http import Answer, Client

_LOG = logging.getLogger("meterseal.ledger")
PERIOD_S: Final = 60.0
_TIMEOUT_S: Final = 10.0
_MOST_ANSWER: Final = 65536
_TRIES: Final = 2  # the first may only bring out what the witness has
COSIGNED, SILENT, AHEAD, FORKED, REFUSED, WRONG = "cosigned", "silent", "ahead", "forked", "refused", "wrong"


class WitnessOptionError(LedgerClientError):
    """``--witness`` names what cannot be asked."""


class NotCosigned(Exception):
    """A witness has not cosigned: ``state`` is one of ``SILENT`` …, the text says why."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state = state


@dataclass(frozen=True, slots=True)
class Standing:
    """How a witness stands: ``COSIGNED``, or a state of ``NotCosigned``; and the size that it cosigned last."""

    state: str
    size: int


class Cosigner:
    """A witness at an address."""

    def __init__(self, url: str, vkey: Vkey) -> None:
        self.vkey = vkey
        self.standing = Standing("", 0)
        self._url = url.rstrip("/")
        self._client = Client(self._url, Access(), _TIMEOUT_S)
        self._known = 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, head: Checkpoint, note: Note, path: Callable[[int, int], Sequence[bytes]]) -> Line | None:
        """Its cosignature of a head, None where it gives none; ``standing`` says how it stands, and the output whatever
        is new of that."""
        before = self.standing
        try:
            line = self._cosignature(head, note, path)
        except (NotCosigned, LedgerUnavailable) as error:
            state = error.state if isinstance(error, NotCosigned) else SILENT
            self.standing = Standing(state, before.size)
            if state != before.state:
                level = logging.WARNING if state == SILENT else logging.ERROR
                _LOG.log(level, "witness %s: %s: %s", self.vkey.name, state, error)
            return None
        self.standing = Standing(COSIGNED, head.size)
        if before.state != COSIGNED:
            _LOG.info("witness %s: has cosigned the log of %d entries", self.vkey.name, head.size)
        return line

    def _cosignature(self, head: Checkpoint, note: Note, path: Callable[[int, int], Sequence[bytes]]) -> Line:
        for _ in range(_TRIES):
            hashes = path(self._known, head.size) if 0 < self._known < head.size else ()
            answer = self._client.ask(
                "POST", f"{self._url}/add-checkpoint", {"Content-Type": "text/plain"}, _MOST_ANSWER,
                encode(self._known, hashes, note),
            )  # fmt: skip
            if answer.status == 200:
                line = self._line(answer, note)
                self._known = head.size
                return line
            if answer.status != 409:
                break
            self._known = _size(answer)
            if self._known > head.size:
                known, self._known = self._known, 0
                what = f"it has cosigned {known} entries of this log, which has {head.size}: this log lost its end, or "
                raise NotCosigned(AHEAD, what + "somebody else signs another one with its key")
        if answer.status == 422:
            why = answer.body[:300].decode("utf-8", "replace").strip()
            raise NotCosigned(FORKED, f"this log does not extend what it has cosigned ({why})")
        raise NotCosigned(REFUSED, str(answer.sentence))

    def _line(self, answer: Answer, note: Note) -> Line:
        try:
            lines = parse_lines(answer.body.decode())
            mine = [line for line in lines if (line.name, line.id) == (self.vkey.name, self.vkey.id)]
            if cosigned(Note(note.text, tuple(mine)), self.vkey) is None:
                raise NotCosigned(WRONG, f"it answers without a signature by the key {self.vkey.text}")
        except (UnicodeDecodeError, VerificationError) as error:
            raise NotCosigned(WRONG, f"its cosignature does not hold: {error}") from None
        return mine[0]


def _size(answer: Answer) -> int:
    text = answer.body.decode("ascii", "replace").removesuffix("\n")
    if answer.media_type != SIZE_TYPE or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NotCosigned(WRONG, f"its 409 bears no size: {answer.sentence}")
    return int(text)


class Cosigning:
    """The cosigned checkpoints of a ledger; ``start`` begins to ask, ``close`` ends it."""

    def __init__(self, view: LogView, cosigners: Sequence[Cosigner], period_s: float = PERIOD_S) -> None:
        self._view, self.cosigners, self._period_s = view, tuple(cosigners), period_s
        self._lock = threading.Lock()
        self._notes: dict[int, tuple[int, Note]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witnesses", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self.cosigners:
            self._thread.start()

    def close(self) -> None:
        """End; an answer that is awaited is not waited for."""
        self._ended.set()
        for cosigner in self.cosigners:
            cosigner.close()

    def note(self, least: int | None) -> bytes | None:
        """The newest checkpoint with at least so many cosignatures, None where there is none; by default with one or
        more, else that of the log as it is now. Raises ``LedgerUnavailable``."""
        with self._lock:
            found = self._notes.get(1 if least is None else least)
        if found is not None:
            return found[1].encode()
        return self._view.checkpoint()[1].encode() if not least else None

    def collect(self) -> None:
        """Ask every witness once, all at the same time."""
        try:
            head, note = self._view.checkpoint()
        except LedgerClientError as error:
            _LOG.warning("no witness was asked: %s", error)
            return
        with ThreadPoolExecutor(len(self.cosigners), "witness") as pool:
            asked = [pool.submit(self._ask, cosigner, head, note) for cosigner in self.cosigners]
            self._keep(head, note, [line for one in asked if (line := one.result()) is not None])

    def _ask(self, cosigner: Cosigner, head: Checkpoint, note: Note) -> Line | None:
        try:
            return cosigner.ask(head, note, self._view.extension)
        except Exception:
            _LOG.exception("witness %s: a fault of this program", cosigner.vkey.name)
            return None

    def _keep(self, head: Checkpoint, note: Note, lines: Sequence[Line]) -> None:
        with self._lock:
            for least in range(1, len(lines) + 1):
                self._notes[least] = head.size, Note(note.text, (*note.lines, *lines))

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self.collect()
            self._ended.wait(max(1.0, self._period_s - (time.monotonic() - began)))


def cosigners_of(texts: Sequence[str], log_key: Vkey) -> list[Cosigner]:
    """The witnesses of options ``URL=VKEY``; ``log_key``: the log's. Raises ``WitnessOptionError``, ``AccessError``."""
    found: list[Cosigner] = []
    for text in texts:
        url, _, rest = text.partition("=")
        demand_http("--witness", url)
        try:
            vkey = Vkey.parse(rest)
        except VerificationError as error:
            way_out = "give --witness URL=NAME+HEX+BASE64, as the witness prints its vkey at its start"
            raise WitnessOptionError(f"--witness {text!r}: {error.detail}", way_out) from None
        if vkey.kind != COSIGNER_KEY or vkey.public.kid == log_key.public.kid:
            raise WitnessOptionError(f"--witness {text!r}: is a log's key", "give the vkey that the witness prints")
        if any(vkey.public.kid == one.vkey.public.kid or vkey.name == one.vkey.name for one in found):
            raise WitnessOptionError(f"--witness {url}: the witness {vkey.name} is given twice", "give each once")
        found.append(Cosigner(url, vkey))
    return found
