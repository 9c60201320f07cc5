"""Files edited by people: UTF-8 without a byte order mark (RFC 3629), TOML 1.0 within bounds. No I/O."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from math import isinf
from typing import Any, Final

UTF8: Final = "save it as UTF-8, without a byte order mark (BOM)"


class NotText(ValueError):
    """Bytes that are no such text: ``problem`` what they are; the way out is ``UTF8``."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; {UTF8}")
        self.problem = problem


def text_of(data: bytes) -> str:
    """The text of a file. Raises NotText: in another encoding, or none."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise NotText("is UTF-16 text, or none at all")
    if data.startswith(codecs.BOM_UTF8):
        raise NotText("begins with a byte order mark (BOM)")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotText(f"byte {error.start} is not UTF-8") from None


MAX_DEPTH: Final = 64
_BEYOND_64_BITS: Final = 1 << 64
_LONG_KEY: Final = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){1000}""")
"""A dotted key of so many parts that the parser would be at it for minutes: it takes the square of their number."""
_LONG_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]{4,}")


class NotToml(ValueError):
    """Text that is no TOML, or nests or counts further than any file of ours: what, and where if that is known."""


def toml_of(text: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document that ``text`` is in TOML 1.0; ``number`` makes the value of digits with a point or an exponent.

    Raises NotToml and nothing else. It goes as deep as 64 tables or arrays and as far as 64 bits, so that whoever
    walks over the document or prints a value of it is safe.
    """
    if key := _LONG_KEY.search(text):
        raise NotToml(f"{key[0].partition('.')[0].strip()[:64]}: {_TOO_DEEP}")
    try:
        document = tomllib.loads(text, parse_float=lambda digits: number(_moderate(digits)))
    except RecursionError:
        raise NotToml(_TOO_DEEP) from None
    except tomllib.TOMLDecodeError as error:
        raise NotToml(str(error)) from None
    except NotToml:
        raise
    except ValueError:  # int() takes no more than sys.get_int_max_str_digits()
        raise NotToml("a whole number has thousands of digits") from None
    _demand_moderate(document)
    return document


_TOO_DEEP: Final = f"tables or arrays stand inside of one another, more than {MAX_DEPTH} deep"


def _moderate(digits: str) -> str:
    """Digits that a double can hold; ``inf`` and ``nan`` stay what they are."""
    infinite = digits.lstrip("+-") == "inf"
    if len(digits) > 400 or _LONG_EXPONENT.search(digits) or (isinf(float(digits)) and not infinite):
        shown = digits if len(digits) <= 40 else f"{digits[:20]}… of {len(digits)} characters"
        raise NotToml(f"the number {shown} is too long, or larger than a double can be")
    return digits


def _demand_moderate(document: dict[str, Any]) -> None:
    """Dotted keys nest without recursion in the parser, and hexadecimal digits know no end there."""
    ahead: list[tuple[object, int, str]] = [(value, 1, key) for key, value in document.items()]
    while ahead:
        value, depth, where = ahead.pop()
        if depth > MAX_DEPTH:
            raise NotToml(f"{where[:64]}: {_TOO_DEEP}")
        if type(value) is int and abs(value) >= _BEYOND_64_BITS:
            raise NotToml(f"{where[:64]}: a whole number of more than 64 bits")
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        ahead += [(item, depth + 1, where) for item in inside]


_DURATION: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|min|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_DURATION_DAYS: Final = 36_500


class NoDuration(ValueError):
    """A value that is no duration at all."""


def duration_ms(text: object) -> int:
    """``"10s"`` → 10000. Units ms, s, m or min, h, d. Raises NoDuration for what has not this form, and ValueError for
    a part of a millisecond, for 0 and for more than 36500 days."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise NoDuration('must be a duration in quotes such as "500ms", "10s", "15m", "1h", "90d"')
    value = Decimal(match[1]) * _UNIT_MS[match[2]]
    if value != int(value) or value <= 0:
        raise ValueError("must be a whole number of milliseconds above 0")
    if value > MAX_DURATION_DAYS * _UNIT_MS["d"]:
        raise ValueError(f'must be at most "{MAX_DURATION_DAYS}d"')
    return int(value)
