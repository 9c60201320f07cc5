"""Solidity ABI of the contracts here: call data, constructor arguments, and the words of answers and events.

``NAME.vy`` is a contract's source, ``NAME.abi.json`` its interface for other programs, ``NAME.json`` what the compiler
made of the source. Few of their arguments are dynamic, so encoding them takes few lines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

Argument = bytes | int | str | Sequence[tuple[bytes | int, ...]]
"""A static word (bytes up to 32, shorter ones an address; an unsigned integer), text, or an array of static tuples."""

_WORD: Final = 32
_ERROR: Final = bytes.fromhex("08c379a0")  # selector of Error(string), with which a contract says why it reverts


class NotAbi(ValueError):
    """Bytes that the contract cannot have written."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a program must know of the contract of this name to deploy and to call it."""

    name: str

    def creation_code(self, *arguments: Argument) -> bytes:
        """What a deployment with the constructor's arguments sends."""
        return bytes.fromhex(_build(self.name)["bytecode"]) + encode(*arguments)

    def runtime_code(self) -> bytes:
        """What then stands at the contract's address, the same on every chain; behind it its immutables, if any."""
        return bytes.fromhex(_build(self.name)["runtime"])

    def topic(self, event: str) -> bytes:
        """The first topic of an event of this name."""
        return bytes.fromhex(_build(self.name)["events"][event])

    def call(self, method: str, *arguments: Argument) -> bytes:
        """Call data of a method."""
        return bytes.fromhex(_build(self.name)["methods"][method]) + encode(*arguments)


@cache
def _build(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath(f"{name}.json").read_text()
    build: dict[str, Any] = json.loads(text)
    return build


def encode(*arguments: Argument) -> bytes:
    """The arguments as the ABI has them: one word each, in which a dynamic one has its place in the tail."""
    heads, tail = b"", b""
    for argument in arguments:
        if isinstance(argument, bytes | int):
            heads += word(argument)
        else:
            heads += word(_WORD * len(arguments) + len(tail))
            tail += word(len(argument.encode() if isinstance(argument, str) else argument)) + _tail(argument)
    return heads + tail


def _tail(argument: str | Sequence[tuple[bytes | int, ...]]) -> bytes:
    if isinstance(argument, str):
        text = argument.encode()
        return text.ljust(-(-len(text) // _WORD) * _WORD, b"\0")
    return b"".join(word(part) for parts in argument for part in parts)


def word(value: bytes | int) -> bytes:
    """One 32-byte word; a shorter byte string is an address and stands to the right."""
    return value.to_bytes(_WORD) if isinstance(value, int) else value.rjust(_WORD, b"\0")


def words(data: bytes, count: int) -> list[bytes]:
    """Exactly so many words; raises ``NotAbi``."""
    if len(data) != count * _WORD:
        raise NotAbi(f"{len(data)} bytes where {count * _WORD} are due")
    return [data[i : i + _WORD] for i in range(0, len(data), _WORD)]


def words_and_texts(data: bytes, static: int, dynamic: int) -> tuple[list[bytes], list[str]]:
    """``static`` words, then ``dynamic`` texts, in the one form that the compiler gives them; raises ``NotAbi``."""
    head = words(data[: (static + dynamic) * _WORD], static + dynamic)
    texts = []
    for place in head[static:]:
        at = number(place)
        size = number(b"".join(words(data[at : at + _WORD], 1)))
        try:
            texts.append(data[at + _WORD : at + _WORD + size].decode())
        except UnicodeDecodeError as error:
            raise NotAbi(f"a text that is not UTF-8: {error}") from None
    if encode(*head[:static], *texts) != data:
        raise NotAbi(f"{len(data)} bytes that are not {static} words and {dynamic} texts")
    return head[:static], texts


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
