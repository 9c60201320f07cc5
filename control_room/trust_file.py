"""The trust file while it changes: read again when it is another one, and the last good one kept."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.errors import TrustFileError
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import load_trust

log = logging.getLogger("meterseal.control")

EVERY_S: Final = 2.0
_Stamp = tuple[int, int, int, int]


class TrustFile:
    """One thread calls ``look``; any thread reads ``trust`` and ``problem``."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises TrustFileError."""
        self._path = path
        self._stamp = self._now()
        self.trust: Trust = load_trust(path)
        """The last one that could be read."""
        self.version = 0
        """How many others there were before it."""
        self.problem: Message | None = None
        """Why the file as it is now is not in force; None: it is."""

    def look(self) -> bool:
        """Read the file if it changed; whether another trust is in force now."""
        stamp = self._now()  # before it is read: what is written meanwhile is another change
        if stamp == self._stamp and self.problem is None:
            return False
        self._stamp = stamp
        try:
            trust = load_trust(self._path)
        except TrustFileError as error:
            if self.problem is None:
                log.error("the last good trust file stays in force: %s", error)
            what = error.sentence
            self.problem = Message("control-trust-broken", path=str(self._path), why=_fact(what))
            return False
        if self.problem is not None:
            log.warning("the trust file is in force again")
        self.problem = None
        if trust == self.trust:
            return False
        log.info("another trust file is in force: %d keys", len(trust.keys))
        self.trust = trust
        self.version += 1
        return True

    def _now(self) -> _Stamp | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


def _fact(sentence: messages.Sentence) -> messages.Message | str:
    return sentence
