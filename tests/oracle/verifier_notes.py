"""Signed notes of a log's head with cosignatures of witnesses, for the second verifier (verifier.py).

docs/formats.md, "Checkpoints and cosignatures", and C2SP signed-note, tlog-checkpoint, tlog-cosignature.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.oracle.verifier_cose import MAX_S, Bad, demand, demand_ed25519_form, on_edwards, small_order

LOG, COSIGNATURE = 1, 4
WHITE_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SIGNATURE_LINE = re.compile(rf"— ([^+{WHITE_SPACE}]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class VerifierKey:
    name: str
    key_id: bytes
    public: bytes

    def verify(self, signature: bytes, message: bytes) -> bool:
        try:
            demand_ed25519_form(signature)
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (Bad, InvalidSignature):
            return False
        return True


def verifier_key(value: object, kind: int) -> VerifierKey:
    """``NAME+HEX+BASE64`` of this type."""
    found = re.fullmatch(r"([!-*,-~]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", value) if type(value) is str else None
    if found is None:
        raise Bad("no vkey")
    name, key = found[1], base64_of(found[3])
    demand(len(key) == 33 and key[0] == kind, "a vkey of another type")
    demand(on_edwards(key[1:]) and not small_order(key[1:]), "no point of the curve, or of small order")
    key_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    demand(key_id.hex() == found[2], "the key ID is not that of name and key")
    return VerifierKey(name, key_id, key[1:])


def base64_of(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad("no base64") from None
    demand(base64.b64encode(data).decode() == text, "base64 in another form")
    return data


class Note(NamedTuple):
    text: bytes
    """What is signed."""
    origin: str
    size: int
    root: bytes
    signatures: list[tuple[str, bytes, bytes]]
    """Name, key ID, the rest."""

    def of(self, key: VerifierKey) -> list[bytes]:
        return [rest for name, key_id, rest in self.signatures if (name, key_id) == (key.name, key.key_id)]


def note(data: bytes) -> Note:
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Bad("a note that is not UTF-8") from None
    demand(not re.search(r"[\x00-\x09\x0b-\x1f]", whole), "a control character")
    text, empty, behind = whole.rpartition("\n\n")
    demand(empty != "" and behind.endswith("\n"), "no signatures")
    lines = behind.removesuffix("\n").split("\n")
    demand(len(lines) <= 100, "more than 100 signatures")
    signatures = []
    for line in lines:
        found = SIGNATURE_LINE.fullmatch(line)
        if found is None:
            raise Bad("no signature line")
        blob = base64_of(found[2])
        demand(len(blob) > 4, "a signature without content")
        signatures.append((found[1], blob[:4], blob[4:]))
    body = text.split("\n")
    demand(len(body) >= 3 and "" not in body, "no checkpoint")
    origin, size, root = body[:3]
    demand(re.fullmatch(r"0|[1-9][0-9]{0,18}", size) is not None and int(size) < 2**63, "no size")
    hashed = base64_of(root)
    demand(len(hashed) == 32, "no root")
    return Note(text.encode() + b"\n", origin, int(size), hashed, signatures)


def witnesses_of(found: Note, logs: list[VerifierKey], witnesses: list[VerifierKey]) -> int:
    """How many witnesses have cosigned a note of the log of these keys. Raises Bad if a known line does not verify."""
    demand(found.origin in {key.name for key in logs}, "a note of another log")
    signed = 0
    for key in logs:
        for signature in found.of(key):
            demand(len(signature) == 64 and key.verify(signature, found.text), "a signature that is not of the log")
            signed += 1
    demand(signed > 0, "a note without the log's signature")
    cosigned = 0
    for key in witnesses:
        blobs = found.of(key)
        for blob in blobs:
            time = int.from_bytes(blob[:8], "big")
            message = b"cosignature/v1\ntime %d\n" % time + found.text
            demand(len(blob) == 72 and key.verify(blob[8:], message), "a cosignature that is not of the witness")
            demand(1 <= time <= MAX_S, "a cosignature of no time")
        cosigned += bool(blobs)
    return cosigned
