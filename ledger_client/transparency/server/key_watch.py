"""Watch over a ledger's key in a token: the output says when the token is away, why and the way out, and when it is
back. A ledger may start while it is away, and nobody may ask for a signature for hours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from ledger_client.transparency.ledger.held_key import KeyUnavailable

_LOG = logging.getLogger("meterseal.ledger")
_PERIOD_S: Final = 1.0


class KeyWatch:
    """Looks each second from ``start`` until ``close``, in a thread; ``away`` says why nothing can be signed, if so."""

    def __init__(self, away: Callable[[], KeyUnavailable | None]) -> None:
        self._away = away
        self._last: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key watch", daemon=True)

    def start(self) -> None:
        """Look at once, so that a start with its token away says so, and then each second."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Write to the output what has changed since the last look."""
        away = self._away()
        found = None if away is None else str(away)
        if found is not None and found != self._last:
            _LOG.error("%s", found)
        elif found is None and self._last is not None:
            _LOG.warning("the ledger's key signs again: its token is back")
        self._last = found

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self.look()
