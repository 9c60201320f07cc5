"""Files edited by people: UTF-8 without a byte order mark (RFC 3629), TOML 1.0 within bounds. No I/O."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from decimal import Decimal
from math import isinf
from typing import Any, Final

from ledger_client.messages import Message, Sentence


class WrongText(ValueError):
    """A file or a value that is not of its form: ``sentence`` says how, ``problem`` is its English."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    @property
    def problem(self) -> str:
        """What is wrong, without the fix."""
        return self.sentence if isinstance(self.sentence, str) else self.sentence.problem

    def __str__(self) -> str:
        return self.problem


class NotText(WrongText):
    """Bytes that are no such text."""


def text_of(data: bytes) -> str:
    """The text of a file. Raises NotText: in another encoding, or none."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise NotText(Message("text-utf16"))
    if data.startswith(codecs.BOM_UTF8):
        raise NotText(Message("text-bom"))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotText(Message("text-not-utf8", at_byte=error.start)) from None


MAX_DEPTH: Final = 64
_BEYOND_64_BITS: Final = 1 << 64
_LONG_KEY: Final = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){1000}""")
"""A dotted key of so many parts that the parser would be at it for minutes: it takes the square of their number."""
_LONG_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]{4,}")


class NotToml(WrongText):
    """Text that is no TOML, or nests or counts further than any file of ours: what, and where if that is known."""


def toml_of(text: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document that ``text`` is in TOML 1.0; ``number`` makes the value of digits with a point or an exponent.

    Raises NotToml and nothing else. It goes as deep as 64 tables or arrays and as far as 64 bits, so that whoever
    walks over the document or prints a value of it is safe.
    """
    import tomllib  # what verifies without a trust file, or only words an error, does not need it

    if key := _LONG_KEY.search(text):
        raise _too_deep(key[0].partition(".")[0].strip())
    try:
        document = tomllib.loads(text, parse_float=lambda digits: number(_moderate(digits)))
    except RecursionError:
        raise NotToml(_TOO_DEEP) from None
    except tomllib.TOMLDecodeError as error:
        raise NotToml(str(error)) from None
    except NotToml:
        raise
    except ValueError:  # int() takes no more than sys.get_int_max_str_digits()
        raise NotToml(Message("text-number-huge")) from None
    _demand_moderate(document)
    return document


_TOO_DEEP: Final = Message("text-too-deep", limit=MAX_DEPTH)


def _too_deep(key: str) -> NotToml:
    return NotToml(Message("at", place=key[:64], what=_TOO_DEEP))


def _moderate(digits: str) -> str:
    """Digits that a double can hold; ``inf`` and ``nan`` stay what they are."""
    infinite = digits.lstrip("+-") == "inf"
    if len(digits) > 400 or _LONG_EXPONENT.search(digits) or (isinf(float(digits)) and not infinite):
        if len(digits) > 40:
            raise NotToml(Message("text-number-long", begin=digits[:20], n=len(digits)))
        raise NotToml(Message("text-number-too-large", shown=digits))
    return digits


def _demand_moderate(document: dict[str, Any]) -> None:
    """Dotted keys nest without recursion in the parser, and hexadecimal digits know no end there."""
    ahead: list[tuple[object, int, str]] = [(value, 1, key) for key, value in document.items()]
    while ahead:
        value, depth, where = ahead.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(where)
        if type(value) is int and abs(value) >= _BEYOND_64_BITS:
            raise NotToml(Message("text-number-64-bits", where=where[:64]))
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        ahead += [(item, depth + 1, where) for item in inside]


_DURATION: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|min|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_DURATION_DAYS: Final = 36_500


class NoDuration(WrongText):
    """A value that is no duration at all."""


def duration_ms(text: object) -> int:
    """``"10s"`` → 10000. Units ms, s, m or min, h, d. Raises NoDuration for what has not this form, and WrongText for
    a part of a millisecond, for 0 and for more than 36500 days."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise NoDuration(Message("value-duration"))
    value = Decimal(match[1]) * _UNIT_MS[match[2]]
    if value != int(value) or value <= 0:
        raise WrongText(Message("value-milliseconds"))
    if value > MAX_DURATION_DAYS * _UNIT_MS["d"]:
        raise WrongText(Message("value-duration-most", limit=MAX_DURATION_DAYS))
    return int(value)
