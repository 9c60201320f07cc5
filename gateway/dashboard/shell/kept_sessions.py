"""Viewers' sessions on disk: a display on a wall goes on after a kill, a restart or a reload.

The file ``web.sessions`` holds, for each session of a viewer, the SHA-256 of its cookie and of its user's entry (name,
role and password hash), and two times. Whoever reads it has no cookie. An entry that is other now, because password or
role were changed or the user was removed, has another hash: such a session is not taken up, also where the change was
made while nothing ran. Installers log in anew. A session that ends by a logout is off the file before the answer is
sent. The time for which nothing ran counts as not used; a clock that went back makes no session younger than it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from gateway.dashboard.shell.sessions import HOUR_S, MOST, Kept, Sessions
from gateway.dashboard.shell.users import User
from gateway.process.file_owner import as_its_folder
from gateway.process.threads import in_thread
from ledger_client.durable_files import sync_folder, whole_file
from ledger_client.transport.access import AccessError, read_file

log = logging.getLogger("meterseal.pages")

FILE, ASIDE = "web.sessions", "web.sessions.damaged"
EVERY_S = HOUR_S
"""How often the times of use are written: after a kill a session was used at most this much longer ago."""
_HEAD = "meterseal sessions 1"


class SessionFile:
    """``load`` before anybody is served, then ``run``; ``save`` and ``changed`` in the event loop.

    Args:
        path: of the file.
        sessions: that it keeps.
        now_ms: Unix time in ms.
    """

    def __init__(self, path: Path, sessions: Sessions, now_ms: Callable[[], int]) -> None:
        self._path, self.sessions, self._now_ms = path, sessions, now_ms
        self._written: frozenset[bytes] = frozenset()
        """The sessions that the file has, or may have."""
        self._changes, self._turn = asyncio.Event(), asyncio.Lock()

    async def load(self, users: Mapping[str, User]) -> None:
        """Take up the sessions of the file whose users are what they were."""
        kept = await in_thread(partial(_read, self._path), "sessions")
        self._written = frozenset(one.cookie for one in kept)
        self.sessions.restore(kept, users, self._now_ms() // 1000)
        if kept:
            log.info("%d of %d sessions of viewers go on", len(self.sessions), len(kept))
            self.changed()

    def changed(self) -> None:
        """A session has begun or ended: the file is to follow soon."""
        self._changes.set()

    async def run(self) -> None:
        """Write what has changed, and once an hour the times of use, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._changes.wait()
            self._changes.clear()
            await self.save()

    async def save(self) -> None:
        """Write the sessions as they are now; on disk when this returns, or in the log why not."""
        async with self._turn:
            kept = self.sessions.kept(self._now_ms() // 1000)
            if kept or self._written:
                now = frozenset(one.cookie for one in kept)
                ended, self._written = self._written - now, self._written | now
                if await in_thread(partial(_write, self._path, kept, ended), "sessions"):
                    self._written = now


def _read(path: Path) -> list[Kept]:
    """The sessions of the file; none where it is damaged, or others may read it: then it is set aside, with a line in
    the log."""
    try:
        return parse(read_file("sessions", path, secret=True)) if path.exists() else []
    except (AccessError, ValueError, OSError) as error:
        reason = error.what if isinstance(error, AccessError) else error
        log.error("sessions of the pages not restored, viewers must log in again: %s: %s", path, reason)
        with suppress(OSError):
            path.replace(path.with_name(ASIDE))
        return []


def _write(path: Path, kept: Sequence[Kept], ended: frozenset[bytes]) -> bool:
    """Whether the file holds these sessions and no ended one. One that cannot be replaced is deleted then: on a full
    disk that goes, and a session that was logged out must not come back."""
    try:
        with whole_file(path) as file:
            file.write(serialized(kept))
        as_its_folder(path)
    except OSError as error:
        log.warning("sessions of the pages not written, viewers must log in again after a restart: %s", error)
        if not ended:
            return False
    else:
        return True
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        log.error("a session that has ended may come back after a restart: %s cannot be deleted: %s", path, error)
    return False


def serialized(kept: Sequence[Kept]) -> bytes:
    """The file: a head with the SHA-256 of what follows; a line a session, the one used last at the end, with the
    hashes of cookie and user entry and the Unix times in seconds at which it began and was last used."""
    lines = "".join(f"{one.cookie.hex()} {one.entry.hex()} {one.begun_s} {one.used_s}\n" for one in kept)
    return f"{_HEAD} {hashlib.sha256(lines.encode()).hexdigest()}\n{lines}".encode()


def parse(data: bytes) -> list[Kept]:
    """The sessions of a file. Raises ValueError: it is not what ``serialized`` gives for at most ``MOST`` of them."""
    try:
        kept = [_kept(*line.split(" ")) for line in data.decode("ascii").split("\n")[1:-1]]
    except (TypeError, ValueError):
        kept = []
    if serialized(kept) != data or len({one.cookie for one in kept}) != len(kept) or len(kept) > MOST:
        raise ValueError("the file is damaged")
    return kept


def _kept(cookie: str, entry: str, begun: str, used: str) -> Kept:
    return Kept(bytes.fromhex(cookie), bytes.fromhex(entry), int(begun), int(used))
