"""What the routes of the control room look at in memory: its gateways by the trust file, its archive, the time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ledger_client.errors import LedgerClientError
from ledger_client.verification.trust import Trust, load_trust

log = logging.getLogger("meterseal.pages")


class Site:
    """One control room.

    Args:
        name: of the control room.
        trust: the trust file, read again whenever it changes; as long as that cannot be read, the last one holds.
        archive: the folder of batch files.
        now_ms: gives the time, Unix ms.
    """

    def __init__(self, name: str, trust: Path, archive: Path, now_ms: Callable[[], int]) -> None:
        self.name, self.archive, self.now_ms = name, archive, now_ms
        self._path = trust
        self._stamp: tuple[int, int, int] | None = None
        self._names: frozenset[str] = frozenset()
        self.trouble: str | None = None
        """Why the trust file cannot be read; None: it can."""

    def trusted(self) -> frozenset[str]:
        """The gateways of the trust file."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino, found.st_size
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._read(stamp)
        return self._names

    def _read(self, stamp: tuple[int, int, int] | None) -> None:
        try:
            self._names = gateways_of(load_trust(self._path))
        except LedgerClientError as error:
            if self.trouble != str(error):
                log.error("%s", error)
            self.trouble = str(error)
        else:
            self._stamp, self.trouble = stamp, None


def gateways_of(trust: Trust) -> frozenset[str]:
    """The gateways of which a trust file has a key."""
    return frozenset(key.gateway for key in trust.keys if key.gateway is not None)
