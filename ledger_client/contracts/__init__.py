"""AnchorRegistry: what a program must know of the contract to call it and to read what it wrote.

``AnchorRegistry.vy`` is the source, ``AnchorRegistry.abi.json`` the interface for other programs,
``AnchorRegistry.json`` what the compiler made of the source. All arguments but one are static, so encoding them
(Solidity ABI) takes few lines.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

ANCHORED: Final = "Anchored"
ANCHORED_MANY: Final = "AnchoredMany"
_WORD: Final = 32
_ERROR: Final = bytes.fromhex("08c379a0")  # selector of Error(string), with which a contract says why it reverts


class NotAbi(ValueError):
    """Bytes that the contract cannot have written."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """The event of one anchor: SHA-256 of the gateway's name, batch, statement id, what it said of its predecessor, the
    account that wrote it, and the block of the gateway's anchor before (0: none)."""

    gateway: bytes
    batch: int
    id: bytes
    prev: bytes
    resume: bool
    account: bytes
    previous: int


@dataclass(frozen=True, slots=True)
class AnchoredMany:
    """The event of one shared root over ``size`` statement ids."""

    root: bytes
    account: bytes
    size: int


@cache
def _build() -> dict[str, Any]:
    text = files(__package__).joinpath("AnchorRegistry.json").read_text()
    build: dict[str, Any] = json.loads(text)
    return build


def creation_code() -> bytes:
    """What a deployment sends."""
    return bytes.fromhex(_build()["bytecode"])


def runtime_code() -> bytes:
    """What then stands at the contract's address, the same on every chain."""
    return bytes.fromhex(_build()["runtime"])


def topic(event: str) -> bytes:
    """The first topic of an event of this name."""
    return bytes.fromhex(_build()["events"][event])


def gateway_hash(name: str) -> bytes:
    """How the contract knows a gateway."""
    return hashlib.sha256(name.encode()).digest()


def call(method: str, *arguments: bytes | int | str) -> bytes:
    """Call data: bytes are left as they are up to 32 (addresses right-aligned), integers big-endian, text dynamic."""
    heads, tail = [], b""
    for argument in arguments:
        if isinstance(argument, str):
            heads.append(word(_WORD * len(arguments) + len(tail)))
            text = argument.encode()
            tail += word(len(text)) + text.ljust(-(-len(text) // _WORD) * _WORD, b"\0")
        else:
            heads.append(word(argument))
    return bytes.fromhex(_build()["methods"][method]) + b"".join(heads) + tail


def word(value: bytes | int) -> bytes:
    """One 32-byte word; a shorter byte string is an address and stands to the right."""
    return value.to_bytes(_WORD) if isinstance(value, int) else value.rjust(_WORD, b"\0")


def words(data: bytes, count: int) -> list[bytes]:
    """Exactly so many words; raises ``NotAbi``."""
    if len(data) != count * _WORD:
        raise NotAbi(f"{len(data)} bytes where {count * _WORD} are due")
    return [data[i : i + _WORD] for i in range(0, len(data), _WORD)]


def number(data: bytes, bits: int = 64) -> int:
    """An unsigned integer; raises ``NotAbi`` if it has more bits."""
    value = int.from_bytes(data)
    if value >> bits:
        raise NotAbi(f"0x{data.hex()} has more than {bits} bits")
    return value


def flag(data: bytes) -> bool:
    """A bool."""
    return number(data, 1) == 1


def address(data: bytes) -> bytes:
    """The 20 bytes of an address."""
    return number(data, 160).to_bytes(20)


def reason(data: bytes) -> str | None:
    """The text with which a call was reverted; None if it has none."""
    if data[:4] != _ERROR or len(data) < 4 + 2 * _WORD:
        return None
    size = int.from_bytes(data[36:68])
    return data[68 : 68 + size].decode(errors="replace") if size <= len(data) - 68 else None


def event(topics: list[bytes], data: bytes) -> Anchored | AnchoredMany | None:
    """The anchor that a log entry of the contract tells of; None for its other events; raises ``NotAbi``."""
    if topics[:1] == [topic(ANCHORED)] and len(topics) == 4:
        prev, resume, account, previous = words(data, 4)
        return Anchored(topics[1], number(topics[2]), topics[3], prev, flag(resume), address(account), number(previous))
    if topics[:1] == [topic(ANCHORED_MANY)] and len(topics) == 3:
        (size,) = words(data, 1)
        return AnchoredMany(topics[1], address(topics[2]), number(size))
    return None
