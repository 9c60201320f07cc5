"""PIN of a token: its file, and the note that keeps a refused one from being offered again.

Tokens lock after a few wrong PINs, some for ever. So a PIN that was refused is not offered again, by restarts neither,
until its file holds another: the note beside holds what it takes to recognise it, never the PIN. It has a line for each
token, since a site may have several (while a key moves from one to another, for example), and what one refuses says
nothing of another.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger_client.durable_files import whole_file
from ledger_client.errors import TokenError
from ledger_client.messages import Message
from ledger_client.system_errors import os_error
from ledger_client.transport.access import AccessError, read_secret

_COST: Final = {"n": 1 << 14, "r": 8, "p": 1}
"""Of scrypt (RFC 7914): a refused PIN may differ from the right one by one digit."""
_ONE: Final = threading.Lock()
"""Each module has a thread of its own, and tokens of two may share a note."""


@dataclass(frozen=True, slots=True)
class Pin:
    """``file`` holds the PIN, for its owner alone to read; ``note`` keeps a refusal, in a folder that lasts."""

    file: Path
    note: Path

    def read(self, token: str) -> str:
        """The PIN as it is now. Raises ``TokenError``: no such file, open to others, or refused before by ``token``."""
        try:
            pin = read_secret("pin_file", self.file)
        except AccessError as error:
            raise TokenError(error.sentence, error.way_out) from None
        if self._was_refused(pin, token):
            raise self.refusal(token)
        return pin

    def refused(self, pin: str, token: str) -> None:
        """Note durably that ``token`` refused this PIN. Raises ``TokenError`` where that cannot be written."""
        salt = os.urandom(16)
        refusal = _Refusal(token, salt, _digest(pin, salt))
        with _ONE:
            self._write([*(known for known in self._known() if known.token != token), refusal], token)

    def accepted(self, token: str) -> None:
        """Forget what ``token`` refused before."""
        with _ONE:
            known = self._known()
            others = [one for one in known if one.token != token]
            if not others:
                self.note.unlink(missing_ok=True)
            elif others != known:
                self._write(others, token)

    def refusal(self, token: str) -> TokenError:
        """What is to be said while the file holds the refused PIN."""
        return TokenError(Message("token-pin-refused", token=token, path=str(self.file), note=str(self.note)))

    def _was_refused(self, pin: str, token: str) -> bool:
        return any(one.token == token and one.scrypt == _digest(pin, one.salt) for one in self._known())

    def _known(self) -> list[_Refusal]:
        """What each token refused last."""
        try:
            return [_Refusal.from_line(line) for line in self.note.read_bytes().splitlines()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError):
            raise TokenError(Message("token-pin-note-broken", path=str(self.note))) from None

    def _write(self, refusals: Iterable[_Refusal], token: str) -> None:
        try:
            with whole_file(self.note) as file:
                file.writelines(one.to_line() for one in refusals)
        except OSError as error:
            what = Message("token-pin-note", token=token, path=str(self.note), error=os_error(error))
            raise TokenError(what) from None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The PIN that a token refused, as far as it takes to recognise it."""

    token: str
    salt: bytes
    scrypt: str

    @classmethod
    def from_line(cls, line: bytes) -> _Refusal:
        found = json.loads(line)
        return cls(str(found["token"]), bytes.fromhex(found["salt"]), str(found["scrypt"]))

    def to_line(self) -> bytes:
        found = {"token": self.token, "salt": self.salt.hex(), "scrypt": self.scrypt}
        return json.dumps(found).encode() + b"\n"


def _digest(pin: str, salt: bytes) -> str:
    return hashlib.scrypt(pin.encode(), salt=salt, **_COST).hex()
