"""Login sessions and single-use form tokens.

A session is known by 256 random bits in a cookie, of which only the hash is kept: a viewer's also on disk
(``kept_sessions``), an installer's in memory only. Every form bears a token of its session that is good once, so that
neither another site nor whoever sends a form again can act with it. A token is other on each page: nothing in a page
that is compressed stays the same long enough to be guessed by the page's length (BREACH).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.dashboard.shell.users import Role, User
from ledger_client.errors import LedgerClientError
from ledger_client.formats.cose_key import base64url, unbase64url
from ledger_client.messages import Sentence

HOUR_S = 3600.0
IDLE_S: dict[Role, float] = {"viewer": 24 * HOUR_S, "installer": 2 * HOUR_S}
ABSOLUTE_S: dict[Role, float] = {"viewer": 30 * 24 * HOUR_S, "installer": 12 * HOUR_S}
MOST, MOST_OF_ONE = 200, 20
"""Sessions in all and of one user; the one that was not used for the longest makes room."""
FORM_S = HOUR_S
MOST_FORMS = 1000
"""Forms that one session may send within ``FORM_S``."""
_MAC = 16
_HEAD = struct.Struct(">Q8s")


@dataclass(slots=True)
class Session:
    """One login. ``secret``: of its forms' tokens, which follows from the cookie and is nowhere else; ``done``: the
    result of the last act, for the next page."""

    user: User
    begun: float
    used: float
    secret: bytes = b""
    sent: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    done: Done | None = None
    ended: bool = False

    def over(self, now: float) -> bool:
        """Whether it has ended, was not used for too long, or is too old."""
        role = self.user.role
        return self.ended or now - self.used > IDLE_S[role] or now - self.begun > ABSOLUTE_S[role]


@dataclass(frozen=True, slots=True)
class Kept:
    """A viewer's session as it outlives the process: hashes of its cookie and of its user's entry, and the Unix times
    in seconds at which it began and was last used."""

    cookie: bytes
    entry: bytes
    begun_s: int
    used_s: int


class Sessions:
    """Every session. ``monotonic`` is the clock in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user: User) -> str:
        """A new session; what its cookie is to hold."""
        self._make_room(user)
        now = self._now()
        cookie = secrets.token_urlsafe(32)
        self._sessions[_hashed(cookie)] = Session(user, now, now)
        return cookie

    def find(self, cookie: str | None, *, watching: bool = False) -> Session | None:
        """The session of a cookie, which has been used by that unless an open page asks by itself, ``watching``; None
        for any other cookie."""
        if not cookie or len(cookie) > 64:
            return None
        key = _hashed(cookie)
        session = self._sessions.get(key)
        now = self._now()
        if session is None or session.over(now):
            self._sessions.pop(key, None)
            return None
        session.secret = session.secret or hmac.digest(cookie.encode(), b"forms", "sha256")
        if not watching:
            session.used = now
            self._sessions.move_to_end(key)
        return session

    def end(self, session: Session) -> None:
        """End a session: logged out, or its user is not what it was."""
        session.ended = True
        self._sweep()

    def watches(self, session: Session) -> bool:
        """Whether it has not ended, while a page of it is open. That keeps a viewer's in use, but no installer's."""
        now = self._now()
        if session.over(now):
            return False
        if session.user.role == "viewer":
            session.used = now
        return True

    def kept(self, unix_s: int) -> list[Kept]:
        """The viewers' sessions, the one used last at the end. ``unix_s``: now, in seconds."""
        self._sweep()
        ahead = unix_s - self._now()
        return [
            Kept(key, _entry(session.user), int(session.begun + ahead), int(session.used + ahead))
            for key, session in self._sessions.items()
            if session.user.role == "viewer"
        ]

    def restore(self, kept: Iterable[Kept], users: Mapping[str, User], unix_s: int) -> None:
        """Take up the sessions of an earlier process whose users are what they were.

        Args:
            kept: as ``kept`` gave them.
            users: those of now, by name.
            unix_s: now, in seconds. Where that is before a session's last use, no time has gone by since.
        """
        entries = {_entry(user): user for user in users.values() if user.role == "viewer"}
        now = self._now()
        for one in kept:
            if user := entries.get(one.entry):
                used = now - max(0, unix_s - one.used_s)
                self._sessions[one.cookie] = Session(user, used - max(0, one.used_s - one.begun_s), used)
        self._sweep()

    def _sweep(self) -> None:
        now = self._now()
        for key in [key for key, session in self._sessions.items() if session.over(now)]:
            self._sessions.pop(key).ended = True

    def _make_room(self, user: User) -> None:
        self._sweep()
        mine = [session for session in self._sessions.values() if session.user.name == user.name]
        others = list(self._sessions.values())[: max(0, len(self._sessions) - MOST + 1)]
        for session in [*mine[: max(0, len(mine) - MOST_OF_ONE + 1)], *others]:
            session.ended = True
        self._sweep()

    # — forms —

    def form(self, session: Session) -> str:
        """A token for the forms of one page: good for ``FORM_S``, for one of them, once."""
        head = _HEAD.pack(int(self._now()), secrets.token_bytes(8))
        return base64url(head + _mac(session.secret, head))

    def redeem(self, session: Session, token: str) -> bool:
        """Whether a form that was sent bears a token of this session that was not used before; now it is."""
        try:
            data = unbase64url(token)
        except LedgerClientError:
            return False
        head, now = data[: _HEAD.size], self._now()
        if len(data) != _HEAD.size + _MAC or not hmac.compare_digest(_mac(session.secret, head), data[_HEAD.size :]):
            return False
        while session.sent and now - next(iter(session.sent.values())) > FORM_S:
            session.sent.popitem(last=False)
        made, _ = _HEAD.unpack(head)
        if not 0 <= now - made <= FORM_S or head in session.sent or len(session.sent) >= MOST_FORMS:
            return False
        session.sent[head] = now
        return True


class Visitors:
    """Tokens for the form of the login, whose senders have no session yet: bound to a random cookie, nothing kept."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def cookie(self) -> str:
        """What a visitor's cookie is to hold."""
        return secrets.token_urlsafe(16)

    def form(self, cookie: str) -> str:
        """The token that goes with it."""
        return base64url(_mac(self._secret, cookie.encode()))

    def redeem(self, cookie: str | None, token: str) -> bool:
        """Whether both belong together."""
        return bool(cookie) and hmac.compare_digest(self.form(cookie or "").encode(), token.encode())


def _hashed(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def _entry(user: User) -> bytes:
    """What changes with name, role and password of a user; without the file of users it tells nothing: a password's
    hash has a random salt."""
    return hashlib.sha256("\0".join((user.name, user.role, user.hash)).encode()).digest()


def _mac(secret: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, data, "sha256")[:_MAC]


@dataclass(frozen=True, slots=True)
class Done:
    """What has been done, or why not (``well`` False); and what the next page is to show of it."""

    sentence: Sentence
    facts: Mapping[str, Any] = field(default_factory=dict)
    well: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a page, by somebody who may see it (``user`` and ``role``; both empty on the login page)."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    """The parts of the path that the view's pattern names."""
    query: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    languages: str = ""
    """The browser's Accept-Language."""
    user: str = ""
    role: Role | None = None
    form: str = ""
    """What each form of the page carries in its hidden field ``form``."""
    sentence: Sentence = ""
    """Result of the last act, shown once; ``well``: it succeeded."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More of that: under ``preview`` or ``reload`` what these orders answered; of a form that was refused ``typed``,
    its fields, and ``wrong``, the name of the one that is to be corrected."""
    well: bool = True
    several: Sequence[tuple[str, str]] = ()
    """The whole query, where a key may come more than once (``query`` has the last)."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The query, key by key as it came."""
        return self.several or list(self.query.items())
