"""Formats of facts in a sentence: ``{since_ms:time}``. Pure; the words of a language are entries of its catalogue.

==========  ============================================================  =====================================
format      fact                                                          shown as
==========  ============================================================  =====================================
(none)      text, number, message                                         as it is; a message as its sentence
time        Unix time, ``_ms`` or ``_s``                                  2026-11-24T00:00:00.000Z
duration    ``_us``, ``_ms`` or ``_s``                                    37 h
setting     ``_ms``                                                       15m, as the configuration has it
size        ``_bytes``                                                    2.1 GB
names       names                                                         a, b, c, d and 98 more
list        names or numbers                                              all of them
parts       messages or texts                                             one after the other, as clauses
fix         a message                                                     what to do about it
ordinal     a number                                                      2nd
alarm       code of an alarm kind                                         its title
word        one of a few words that are entries (``word-…``)              the word of the language
==========  ============================================================  =====================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from ledger_client.times import rfc3339, rfc3339_ms

MOST_NAMED = 5
_IN_A_SECOND: Final = {"us": 1_000_000, "ms": 1000, "s": 1}
_SETTING_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


class Language(Protocol):
    """What a format needs of a catalogue."""

    @property
    def language(self) -> str:
        """Its code of ISO 639: ``en``."""

    def words(self, code: str, **facts: object) -> str:
        """One of its forms, filled in. Raises Unsaid."""

    def shown(self, fact: Any) -> str:
        """A fact without a format. Raises Unsaid."""

    def fix_shown(self, message: Any) -> str:
        """The fix of a message. Raises Unsaid."""

    def tables(self) -> Mapping[str, str]:
        """Every code that it has a sentence for."""


Format = Callable[[Any, str, Language], str]


def size(count: float) -> str:
    """Bytes for people, in powers of 1000: ``"2.1 GB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 99.5 or unit == "B" else f"{count:.2g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def span(seconds: float) -> tuple[str, str]:
    """A time for people, in the unit that tells most: (``"37"``, ``"h"``)."""
    for unit, length, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 72), ("d", 86400, 1000)):
        if seconds < length * most:
            return f"{seconds / length:.0f}", unit
    return f"{seconds / (365.25 * 86400):.0f}", "years"


def setting(ms: int) -> str:
    """A duration as the configuration has it, in the largest unit that gives a whole number: 10000 is ``10s``."""
    unit, length = next((unit, length) for unit, length in _SETTING_MS.items() if ms % length == 0)
    return f"{ms // length}{unit}"


def named(of: Sequence[str]) -> Sequence[str]:
    """Those of so many that ``names`` gives by name."""
    return of if len(of) <= MOST_NAMED else of[: MOST_NAMED - 1]


def _time(fact: int, name: str, _: Language) -> str:
    return rfc3339_ms(fact) if name.endswith("_ms") else rfc3339(fact)


def _duration(fact: int, name: str, language: Language) -> str:
    count, unit = span(fact / _IN_A_SECOND[name.rpartition("_")[2]])
    return language.words(f"span-{unit}", n=count)


def _names(fact: Sequence[str], _: str, language: Language) -> str:
    first = named(fact)
    text = language.words("list-joint").join(first)
    return text if len(first) == len(fact) else language.words("list-more", names=text, n=len(fact) - len(first))


def _list(fact: Sequence[Any], _: str, language: Language) -> str:
    return language.words("list-joint").join(map(str, fact))


def _parts(fact: Sequence[Any], _: str, language: Language) -> str:
    return language.words("parts-joint").join(map(language.shown, fact))


def _ordinal(fact: int, _: str, language: Language) -> str:
    if language.language != "en":
        return str(fact)
    last = {1: "st", 2: "nd", 3: "rd"}.get(fact % 10, "th")
    return f"{fact}{'th' if fact % 100 in (11, 12, 13) else last}"


def _alarm(fact: str, _: str, language: Language) -> str:
    return language.words(f"kind-{fact}") if f"kind-{fact}" in language.tables() else fact


def _word(fact: str, _: str, language: Language) -> str:
    return language.words(f"word-{fact}") if f"word-{fact}" in language.tables() else fact


FORMATS: Final[Mapping[str, Format]] = {
    "time": _time,
    "duration": _duration,
    "setting": lambda fact, _, __: setting(fact),
    "size": lambda fact, _, __: size(fact),
    "names": _names,
    "list": _list,
    "parts": _parts,
    "fix": lambda fact, _, language: language.fix_shown(fact) if not isinstance(fact, str) else "",
    "ordinal": _ordinal,
    "alarm": _alarm,
    "word": _word,
}
