"""PIN of a token: its file, and the note that keeps a refused one from being offered again.

Tokens lock after a few wrong PINs, some for ever. So a PIN that was refused is not offered again, by restarts neither,
until its file holds another: the note beside holds what it takes to recognise it, never the PIN.
"""

from __future__ import annotations

import hashlib
import json
import os
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
        known = {"token": token, "salt": salt.hex(), "scrypt": _digest(pin, salt)}
        try:
            with whole_file(self.note) as file:
                file.write(json.dumps(known).encode() + b"\n")
        except OSError as error:
            raise TokenError(Message("token-pin-note", path=str(self.note), error=os_error(error))) from None

    def accepted(self, token: str) -> None:
        """Forget what ``token`` refused before."""
        if self._known(token) is not None:
            self.note.unlink(missing_ok=True)

    def refusal(self, token: str) -> TokenError:
        """What is to be said while the file holds the refused PIN."""
        return TokenError(Message("token-pin-refused", token=token, path=str(self.file), note=str(self.note)))

    def _was_refused(self, pin: str, token: str) -> bool:
        known = self._known(token)
        return known is not None and known[1] == _digest(pin, known[0])

    def _known(self, token: str) -> tuple[bytes, str] | None:
        """Salt and digest of the PIN that ``token`` refused."""
        try:
            known = json.loads(self.note.read_bytes())
            found = bytes.fromhex(known["salt"]), str(known["scrypt"])
            return found if known["token"] == token else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise TokenError(Message("token-pin-note-broken", path=str(self.note))) from None


def _digest(pin: str, salt: bytes) -> str:
    return hashlib.scrypt(pin.encode(), salt=salt, **_COST).hex()
