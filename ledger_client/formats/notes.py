"""Signed notes of C2SP: verifier keys, checkpoints of a log, cosignatures of witnesses. Pure.

signed-note, tlog-checkpoint and tlog-cosignature say what is read and written here. A note is text with signature
lines behind it, each by a key that is known by its name and a key ID of four bytes. A checkpoint is a note whose text
is a log's origin, size and root. A witness signs the same text again, with a time before it, and says by that: this is
the longest state of this log that it has seen, and it extends every one that it has signed before.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from ledger_client.errors import BadSignature, Malformed, VerificationError
from ledger_client.formats import cbor
from ledger_client.formats.checks import MAX_TIME_S, within
from ledger_client.formats.cose_key import EDDSA, PublicKey, Signer

LOG_KEY: Final = 1
COSIGNER_KEY: Final = 4  # cosignature/v1
MAX_NOTE: Final = 65536  # bytes
MAX_SIGNATURES: Final = 100  # of one note, as Go's sumdb/note
MAX_SIZE: Final = 2**63 - 1  # entries
_TYPES: Final = (LOG_KEY, COSIGNER_KEY)
_WHITE_SPACE: Final = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # of Unicode
_NAME: Final = re.compile(f"[^+{_WHITE_SPACE}]+")
_KEY_NAME: Final = re.compile(r"[!-*,-~]{1,255}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_DASH: Final = "\u2014 "


@dataclass(frozen=True, slots=True)
class Vkey:
    """A key that verifies notes: its ``kind`` is ``LOG_KEY`` or ``COSIGNER_KEY``, its name that of signature lines."""

    name: str
    kind: int
    public: PublicKey

    @classmethod
    def parse(cls, text: str) -> Vkey:
        """Read ``NAME+HEX+BASE64``; ``Malformed``. Names are printable ASCII, keys Ed25519."""
        parts = text.split("+", 2)  # base64 may have more of them
        if len(parts) != 3:
            raise Malformed("a verifier key is NAME+HEX+BASE64")
        name, id_, rest = parts
        if not is_key_name(name):
            raise Malformed("the name of a verifier key is 1 to 255 printable ASCII characters without space and +")
        data = unbase64(rest, "the verifier key")
        if not data or data[0] not in _TYPES:
            raise Malformed("the verifier key is neither Ed25519 (type 01) nor cosignature/v1 (type 04)")
        if len(data) != 33:
            raise Malformed(f"the verifier key has {len(data) - 1} bytes of key, not 32")
        key = cls(name, data[0], _ed25519(data[1:]))
        if id_ != key.id.hex():
            raise Malformed(f"the key ID is {id_!r}, and {key.id.hex()} by name and key")
        return key

    @property
    def id(self) -> bytes:
        """The key ID, four bytes, of name, type and key."""
        return hashlib.sha256(f"{self.name}\n".encode() + self._typed()).digest()[:4]

    @property
    def text(self) -> str:
        """``NAME+HEX+BASE64``."""
        return f"{self.name}+{self.id.hex()}+{_base64(self._typed())}"

    def _typed(self) -> bytes:
        x: bytes = cbor.decode(self.public.cose_key, foreign=True)[-2]
        return bytes([self.kind]) + x


@dataclass(frozen=True, slots=True)
class Line:
    """A signature line: whose it is by name and key ID, and the bytes behind the key ID."""

    name: str
    id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read: its text with the final newline, and its signature lines. Nothing of it is verified yet."""

    text: str
    lines: tuple[Line, ...]

    def encode(self) -> bytes:
        """The note as it was read."""
        return (self.text + "\n" + "".join(map(line_text, self.lines))).encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text of its note."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


def is_key_name(value: object) -> bool:
    """Whether a key may have this name here: 1 to 255 printable ASCII characters without space and +."""
    return isinstance(value, str) and _KEY_NAME.fullmatch(value) is not None


def parse_note(data: bytes) -> Note:
    """Read a note strictly; ``Malformed``."""
    within(data, MAX_NOTE, "the note")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Malformed("the note is not UTF-8") from None
    if any(c < " " and c != "\n" for c in text):
        raise Malformed("the note has a control character (its lines end with U+000A alone)")
    body, blank, signatures = text.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Malformed("the note is not text, an empty line and signature lines")
    return Note(body + "\n", parse_lines(signatures))


def parse_lines(text: str) -> tuple[Line, ...]:
    """Read signature lines, one or more, each with its newline; ``Malformed``."""
    lines = text.split("\n")
    if len(lines) < 2 or lines.pop():
        raise Malformed("the last signature line has no end")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(f"the note has {len(lines)} signatures, the cap is {MAX_SIGNATURES}")
    return tuple(map(_line, lines))


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text is; ``Malformed``. Lines behind the third are the log's own, and not read."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise Malformed("the text of the note is not origin, size and root, a line each")
    origin, size, root = lines[:3]
    if _SIZE.fullmatch(size) is None or int(size) > MAX_SIZE:
        raise Malformed(f"the size of the log is {size!r:.40}")
    hashed = unbase64(root, "the root")
    if len(hashed) != 32:
        raise Malformed(f"the root has {len(hashed)} bytes, not 32")
    return Checkpoint(origin, int(size), hashed)


def signed_line(text: str, name: str, signer: Signer) -> Line:
    """The signature line of a log under the text of a checkpoint; ``signer`` has an Ed25519 key."""
    key = Vkey(name, LOG_KEY, signer.public)
    return Line(name, key.id, signer.sign(text.encode()))


def cosigned_line(text: str, name: str, time_s: int, signer: Signer) -> Line:
    """The signature line of a witness (cosignature/v1) under the text of a checkpoint."""
    key = Vkey(name, COSIGNER_KEY, signer.public)
    return Line(name, key.id, time_s.to_bytes(8, "big") + signer.sign(_cosigned(text, time_s)))


def line_text(line: Line) -> str:
    """A signature line as it stands in a note."""
    return f"{_DASH}{line.name} {_base64(line.id + line.signature)}\n"


def demand_signed(note: Note, key: Vkey) -> None:
    """Raise ``BadSignature`` unless the note bears a signature of a log's key, and each line of that key holds."""
    lines = _lines_of(note, key)
    for line in lines:
        key.public.verify(line.signature, note.text.encode())
    if not lines:
        raise BadSignature(f"the note bears no signature of {key.name}")


def cosigned(note: Note, key: Vkey) -> int | None:
    """When a witness cosigned (Unix s, the first of its times); None where it did not. ``BadSignature`` where a line of
    that key does not hold."""
    times = [_cosignature(note.text, line, key) for line in _lines_of(note, key)]
    return min(times, default=None)


def _cosignature(text: str, line: Line, key: Vkey) -> int:
    if len(line.signature) != 72:
        raise BadSignature(f"the cosignature of {key.name} has {len(line.signature)} bytes, not 72")
    time_s = int.from_bytes(line.signature[:8], "big")
    if not 0 < time_s <= MAX_TIME_S:
        raise BadSignature(f"the cosignature of {key.name} is of no time")
    key.public.verify(line.signature[8:], _cosigned(text, time_s))
    return time_s


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _lines_of(note: Note, key: Vkey) -> list[Line]:
    wanted = key.name, key.id  # once: a note may have a hundred lines, and a trust file as many witnesses
    return [line for line in note.lines if (line.name, line.id) == wanted]


def _line(text: str) -> Line:
    name, blank, encoded = text.removeprefix(_DASH).partition(" ")
    if not text.startswith(_DASH) or not blank or _NAME.fullmatch(name) is None:
        raise Malformed("a signature line of the note is not: em dash, name, base64")
    data = unbase64(encoded, "a signature of the note")
    if len(data) < 5:
        raise Malformed("a signature of the note has no bytes behind its key ID")
    return Line(name, data[:4], data[4:])


def unbase64(text: str, what: str) -> bytes:
    """The bytes of base64 with padding (RFC 4648 §4), in its only form; ``Malformed``."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or _base64(data) != text:
        raise Malformed(f"{what} is not base64")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _ed25519(x: bytes) -> PublicKey:
    try:
        return PublicKey.from_cose_key(cbor.encode({1: 1, 3: EDDSA, -1: 6, -2: x}))
    except VerificationError as error:
        raise Malformed(error.sentence) from None
