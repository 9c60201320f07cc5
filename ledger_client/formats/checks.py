"""Checks shared by all evidence formats: names, size caps, times. They raise ``Malformed``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ledger_client.errors import EncodeError, Malformed

MAX_RECORD: Final = 64 * 1024  # bytes
MAX_PATH: Final = 64  # hashes
MAX_RECEIPTS: Final = 16
MAX_BUNDLE: Final = 1024 * 1024  # bytes; also the most that a statement or a receipt can have
MAX_TIME_S: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that RFC 3339 can write
MAX_TIME_MS: Final = MAX_TIME_S * 1000 + 999
_UINT64: Final = 2**64 - 1
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Gateway, meter, ledger and point names, as a regular expression."""
_NAME: Final = re.compile(NAME)
_FOREIGN_ISS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,1000}")


def is_name(value: object) -> bool:
    """True for a gateway, meter, ledger or point name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def is_ledger_name(value: object) -> bool:
    """True for a ledger name, or for the URI that a foreign ledger bears as ``iss`` (RFC 9943)."""
    return is_name(value) or (isinstance(value, str) and _FOREIGN_ISS.fullmatch(value) is not None)


def name(value: object, what: str) -> str:
    if not is_name(value):
        raise Malformed(f"{what} is {value!r}, not a name ({NAME})")
    return str(value)


def uint(value: object, what: str, most: int = _UINT64) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed(f"{what} is {value!r}, not an integer from 0 to {most}")
    return value


def time_s(value: object, what: str) -> int:
    return uint(value, what, MAX_TIME_S)


def time_ms(value: object, what: str) -> int:
    return uint(value, what, MAX_TIME_MS)


def blob(value: object, what: str, size: int) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise Malformed(f"{what} is {value!r}, not {size} bytes")
    return value


def text(value: object, what: str, most: int = 256) -> str:
    if type(value) is not str or not 0 < len(value) <= most:
        raise Malformed(f"{what} is {value!r}, not text of 1 to {most} characters")
    return value


def line(value: object, what: str, most: int = 256) -> str:
    """A text of one line, without control characters."""
    if not text(value, what, most).isprintable():
        raise Malformed(f"{what} is {value!r:.80}, not a text of one line")
    return str(value)


def array(value: object, what: str, least: int = 0, most: int | None = None) -> list[Any]:
    if type(value) is not list or len(value) < least or (most is not None and len(value) > most):
        size = f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
        raise Malformed(f"{what} is not an array of {size} elements")
    return value


def table(value: object, what: str, required: set[Any], optional: set[Any] = frozenset()) -> dict[Any, Any]:  # type: ignore[assignment]
    """A map with every required key and no key beyond the optional ones."""
    if type(value) is not dict:
        raise Malformed(f"{what} is not a map")
    if missing := required - value.keys():
        raise Malformed(f"{what} lacks {listed(missing)}")
    if unknown := value.keys() - required - optional:
        raise Malformed(f"{what} has the unknown key {listed(unknown)}")
    return value


def listed(keys: set[Any]) -> str:
    return ", ".join(sorted(map(repr, keys)))


def proof(value: object, what: str, least: int) -> tuple[int, int, tuple[bytes, ...]]:
    """[size, index, [hash …]] with at least ``least`` hashes, leaf to root (RFC 9942 §5.2)."""
    size, index, path = array(value, what, 3, 3)
    hashes = array(path, f"{what} path", least, MAX_PATH)
    return (
        uint(size, f"{what} size"),
        uint(index, f"{what} index"),
        tuple(blob(h, f"{what} path hash", 32) for h in hashes),
    )


def within(data: bytes, most: int, what: str) -> bytes:
    if len(data) > most:
        raise Malformed(f"{what} has {len(data)} bytes, the cap is {most}")
    return data


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what a reader would call malformed into the writer's own error."""
    try:
        yield
    except Malformed as error:
        raise EncodeError(f"{what}: {error.detail}") from None
