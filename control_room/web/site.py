"""What the routes of the control room look at in memory: its gateways by the trust file, its archive, the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from control_room.trust_file import EVERY_S, TrustFile
from ledger_client.errors import TrustFileError
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.pages")


class Site:
    """One control room.

    Args:
        name: of the control room.
        trust: the trust file. It is read here and by ``look``, which takes long where it has many keys; as long as it
            cannot be read, the last one holds.
        archive: the folder of batch files.
        now_ms: gives the time, Unix ms.
    """

    def __init__(self, name: str, trust: Path, archive: Path, now_ms: Callable[[], int]) -> None:
        self.name, self.archive, self.now_ms = name, archive, now_ms
        self._path = trust
        self._file: TrustFile | None = None
        self._names: frozenset[str] = frozenset()
        self.trouble: str | None = None
        """Why the trust file cannot be read; None: it can."""
        self.look()

    def trusted(self) -> frozenset[str]:
        """The gateways of the trust file."""
        return self._names

    def look(self) -> None:
        """Read the trust file again if it is another one. One thread at a time."""
        try:
            if self._file is None:
                self._file = TrustFile(self._path)
                changed = True
            else:
                changed = self._file.look()
        except TrustFileError as error:
            if self.trouble != str(error):
                log.error("%s", error)
            self.trouble = str(error)
            return
        if changed:
            self._names = gateways_of(self._file.trust)
        problem = self._file.problem
        self.trouble = None if problem is None else str(problem)

    async def watch(self) -> None:
        """Look again and again, in a thread, until cancelled: pages wait for no file."""
        while True:
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self.look)


def gateways_of(trust: Trust) -> frozenset[str]:
    """The gateways of which a trust file has a key."""
    return frozenset(key.gateway for key in trust.keys if key.gateway is not None)
