"""Translation of finished English texts into Chinese, by old_sentences.toml.

They are those of records that were signed before messages had codes. A sentence is found again by what stands between
its blanks, and what fills a blank may itself be a sentence of the table. What is not known stays as it is. Texts of
meters and networks come in here too, so nothing backtracks: a sentence is looked for once from left to right, and of
what is too long, has too many parts or fits in too many ways nothing is changed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from string import Formatter
from typing import Final

LONGEST, MOST_PARTS, DEEPEST = 2000, 24, 5
MOST_LOOKS = 30_000
"""So often is a sentence laid against a part of one text: some 20 ms. Our own texts need less than a tenth."""
KEPT = 512
"""So many sentences are remembered: a page shows up to a hundred."""
_JOINT = re.compile("[:;.] ")
_FULL: Final = {": ": "：", "; ": "；", ". ": "。"}
_WORD = re.compile("[A-Za-z]+")
_NUMBER, _NAME, _ANY = re.compile(r"-?\d[\d.,]*"), re.compile(r"\S+"), re.compile(".*", re.DOTALL)
_NAMES: Final = ("bus", "feed", "id", "key", "ledger", "meter")


@dataclass(frozen=True, slots=True)
class Sentence:
    """``literals`` stand around the ``blanks``: one more than those."""

    literals: tuple[str, ...]
    blanks: tuple[str, ...]
    chinese: str
    key: str
    """The longest word that stands whole in any text of it; ``""`` without one: then it counts only around others."""

    @classmethod
    def of(cls, english: str, chinese: str) -> Sentence:
        """From the table: both with ``{blanks}``."""
        parsed = [(literal, name) for literal, name, _, _ in Formatter().parse(english)]
        blanks = tuple(name for _, name in parsed if name is not None)
        literals = tuple(literal for literal, _ in parsed)
        literals = literals if len(literals) > len(blanks) else (*literals, "")
        words = [word for n in range(len(literals)) for word in _whole_words(literals, n)]
        return cls(literals, blanks, chinese, max(words, key=len, default=""))

    @property
    def weight(self) -> int:
        """How much of it is told, so that it is this one rather than another."""
        return sum(map(len, self.literals))

    def fit(self, text: str, *, tight: bool) -> Mapping[str, str] | None:
        """What stands in the blanks if ``text`` is this sentence. ``tight``: and no blank holds several parts."""
        if not self.blanks:
            return {} if text == self.literals[0] else None
        if not (text.startswith(self.literals[0]) and text.endswith(self.literals[-1])):
            return None
        at, found = len(self.literals[0]), {}
        for n, name in enumerate(self.blanks, 1):
            literal = self.literals[n]
            end = len(text) - len(literal) if n == len(self.blanks) else text.find(literal, at + 1)
            if end <= at:
                return None
            found[name] = text[at:end]
            if not _holds(name).fullmatch(found[name]):
                return None
            if tight and _JOINT.search(text[at : end + 1]):
                return None
            at = end + len(literal)
        return found


@cache
def _holds(blank: str) -> re.Pattern[str]:
    """What may stand in a blank of this name."""
    if re.fullmatch(r"n\d*", blank):
        return _NUMBER
    return _NAME if blank in _NAMES else _ANY


def _whole_words(literals: tuple[str, ...], n: int) -> Iterator[str]:
    """The words of a literal that end with it only at the end of the text, and so for its beginning."""
    for found in _WORD.finditer(literals[n]):
        begins = found.start() > 0 or n == 0
        ends = found.end() < len(literals[n]) or n == len(literals) - 1
        if begins and ends:
            yield found[0]


@cache
def sentences() -> Mapping[str, str]:
    """Every sentence in English and in Chinese."""
    sections = tomllib.loads((files("gateway.messages") / "old_sentences.toml").read_text("utf-8"))
    return {english: chinese for section in sections.values() for english, chinese in section.items()}


@cache
def _index() -> Mapping[str, tuple[Sentence, ...]]:
    """The sentences by their keys."""
    found: dict[str, list[Sentence]] = {}
    for english, chinese in sentences().items():
        sentence = Sentence.of(english, chinese)
        found.setdefault(sentence.key, []).append(sentence)
    return {key: tuple(those) for key, those in found.items()}


def _candidates(text: str) -> list[Sentence]:
    """Those whose key is in the text, what tells most first."""
    index = _index()
    found = [sentence for word in ("", *set(_WORD.findall(text))) for sentence in index.get(word, ())]
    return sorted(found, key=lambda sentence: (-sentence.weight, sentence.literals))


class _TooMuch(Exception):
    """A text fits so many sentences in so many ways that it is left as it is."""


@lru_cache(maxsize=KEPT)
def said(text: str) -> str:
    """A sentence in Chinese, as far as it is known."""
    try:
        return _Search().said(text, DEEPEST) if len(text) <= LONGEST else text
    except _TooMuch:
        return text


class _Search:
    """For one text. What it holds several times, within others too, is looked up once."""

    def __init__(self) -> None:
        self._looks = MOST_LOOKS
        self._known: dict[tuple[str, int], str] = {}

    def said(self, text: str, deep: int) -> str:
        """``text`` in Chinese, and what it quotes ``deep`` levels down. Raises _TooMuch."""
        if not deep:
            return text
        if (known := self._known.get((text, deep))) is None:
            known = self._known[text, deep] = self._look(text, deep)
        return known

    def _look(self, text: str, deep: int) -> str:
        parts = list(_parts(text))
        if len(parts) > MOST_PARTS:
            return text
        candidates = _candidates(text)
        tight = self._joined(text, parts, candidates, deep, tight=True)
        return tight if tight != text else self._joined(text, parts, candidates, deep, tight=False)

    def _joined(
        self, text: str, parts: list[tuple[int, int]], candidates: list[Sentence], deep: int, *, tight: bool
    ) -> str:
        """Part by part, always as many of them as are one sentence of the table."""
        out: list[str] = []
        joints: list[str] = []
        n, known = 0, False
        while n < len(parts):
            begin, last = parts[n][0], n
            part = text[begin : parts[n][1]]
            for m in range(len(parts) - 1, n - 1, -1):
                found = self._one(text[begin : parts[m][1]], candidates, deep, tight=tight)
                if found is not None:
                    last, part, known = m, found, True
                    break
            out.append(part)
            joints.append(text[parts[last][1] : parts[last + 1][0]] if last + 1 < len(parts) else "")
            n = last + 1
        if not known:
            return text
        return "".join(part + _FULL.get(joint, joint) for part, joint in zip(out, joints, strict=True))

    def _one(self, text: str, candidates: Iterable[Sentence], deep: int, *, tight: bool) -> str | None:
        for sentence in candidates:
            self._looks -= 1
            if self._looks < 0:
                raise _TooMuch
            blanks = sentence.fit(text, tight=tight)
            if blanks is not None:
                inner = {name: self.said(part, deep - 1) for name, part in blanks.items()}
                if sentence.key or inner != blanks:
                    return sentence.chinese.format(**inner)
        return None


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """(begin, end) of what stands between the joints."""
    begin = 0
    for joint in _JOINT.finditer(text):
        yield begin, joint.start()
        begin = joint.end()
    yield begin, len(text)
