"""Messages: a code with its facts, and the catalogues that hold its sentences, one a language.

A catalogue is TOML: a table for each code with ``text``, with ``fix`` (what to do about it) where there is one, and
with ``one`` and ``other`` in place of ``text`` where the fact ``n`` is counted. Blanks are those of ``str.format``:
``{since_ms:time}``. The name of a fact bears its unit, its format is one of message_formats.py. No network; a
catalogue reads its file at its first sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeAlias, TypeVar

from ledger_client.message_formats import FORMATS

Fact: TypeAlias = "str | int | bool | Message | tuple[Fact, ...]"
_M = TypeVar("_M", bound="Message")

MOST_DEEP, MOST_FACTS, MOST_ITEMS, MOST_CHARACTERS = 6, 20, 50, 2000
"""Of what goes over the wire: messages within one another, facts of one, items of a list, characters of a text."""
_CODE: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HEADER: Final = re.compile(rf"^\[({_CODE.pattern})\]\n", re.MULTILINE)
_FACT: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_CODE: Final = 64
_PLURAL: Final[Mapping[str, Callable[[int], str]]] = {"en": lambda n: "one" if n == 1 else "other"}
"""CLDR's plural category of a count, by language; a language that is not here has ``other`` alone."""


class Unsaid(Exception):
    """A catalogue has no sentence for a message: its code is unknown, or its facts are not those of the sentence."""


class Message:
    """What is to be said: a code of the catalogues, and the facts of its sentence. Immutable; any thread.

    ``str()`` is the whole in English, which goes into logs and signed events: ``problem``, and the fix where there is
    one. Making one reads and formats nothing. Names of facts bear their unit (``silent_s``, ``used_bytes``).
    """

    __slots__ = ("code", "facts")
    code: str
    facts: Mapping[str, Fact]
    english: ClassVar[Catalogue]

    def __init__(self, code: str, /, **facts: Fact) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "facts", facts)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a message does not change: {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.code, dict(self.facts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.code, self.facts) == (other.code, other.facts)

    def __hash__(self) -> int:
        return hash((self.code, frozenset(self.facts.items())))

    def __repr__(self) -> str:
        return f"Message({', '.join([repr(self.code), *(f'{k}={v!r}' for k, v in self.facts.items())])})"

    def __str__(self) -> str:
        return self.english.whole(self)

    @property
    def problem(self) -> str:
        """The sentence in English, without its fix."""
        return self.english.text(self)

    @property
    def way_out(self) -> str:
        """What to do about it, in English; ``""`` where its sentence has none."""
        return self.english.fix(self)

    def to_fields(self) -> dict[str, Any]:
        """``{"message": code, "facts": {…}}`` for CBOR and JSON; ``{}`` for one that is too deep, wide or long."""
        try:
            return _fields(self, MOST_DEEP)
        except ValueError:
            return {}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self | None:
        """The message that stands in a map beside other things. None: none does, or not of that shape. Never raises."""
        try:
            return _message(cls, fields, MOST_DEEP)
        except ValueError:
            return None


def _again(cls: type[Message], code: str, facts: Mapping[str, Fact]) -> Message:
    return cls(code, **facts)


def _fields(message: Message, deep: int) -> dict[str, Any]:
    if not deep or len(message.facts) > MOST_FACTS:
        raise ValueError
    return {"message": message.code, "facts": {name: _plain(fact, deep) for name, fact in message.facts.items()}}


def _plain(fact: Fact, deep: int) -> Any:
    """A fact as CBOR and JSON know it. Raises ValueError: too deep, too wide, too long."""
    if isinstance(fact, Message):
        return _fields(fact, deep - 1)
    if isinstance(fact, tuple):
        if len(fact) > MOST_ITEMS or any(isinstance(item, tuple) for item in fact):
            raise ValueError
        return [_plain(item, deep) for item in fact]
    return _checked(fact)


def _checked(fact: object) -> str | int:
    """A fact that holds no other one. Raises ValueError."""
    if isinstance(fact, str) and len(fact) <= MOST_CHARACTERS:
        return str(fact)  # of an enumeration its value
    if isinstance(fact, int) and -(1 << 63) <= fact < 1 << 63:  # a bool is one
        return fact
    raise ValueError


def _message(cls: type[_M], fields: Any, deep: int) -> _M:
    """The other way round. Raises ValueError for what is no message, or a larger one than ``to_fields`` makes."""
    code, facts = (fields.get("message"), fields.get("facts")) if isinstance(fields, Mapping) else (None, None)
    if not deep or not isinstance(code, str) or len(code) > _MOST_CODE or not _CODE.fullmatch(code):
        raise ValueError
    if not isinstance(facts, Mapping) or len(facts) > MOST_FACTS:
        raise ValueError
    if not all(isinstance(name, str) and _FACT.fullmatch(name) for name in facts):
        raise ValueError
    return cls(code, **{name: _fact(cls, value, deep) for name, value in facts.items()})


def _fact(cls: type[Message], value: object, deep: int) -> Fact:
    if isinstance(value, Mapping):
        return _message(cls, value, deep - 1)
    if isinstance(value, list | tuple):
        if len(value) > MOST_ITEMS:
            raise ValueError
        return tuple(_message(cls, v, deep - 1) if isinstance(v, Mapping) else _checked(v) for v in value)
    return _checked(value)


class Blank(NamedTuple):
    """A place in a sentence: for which fact, in which format (``""``: as it is), in quotes as Python's ``repr``."""

    fact: str
    form: str
    quoted: bool


Template = tuple[str | Blank, ...]


class Entry(NamedTuple):
    """What a catalogue says under a code: the text by plural category (``other`` for all without one), and the fix."""

    texts: Mapping[str, Template]
    fix: Template

    @property
    def blanks(self) -> set[Blank]:
        """Every blank of its text and its fix."""
        return {piece for t in (*self.texts.values(), self.fix) for piece in t if isinstance(piece, Blank)}


def _template(text: str) -> Template:
    from string import Formatter  # as below: what only words a message costs a start of the verifier nothing

    pieces: list[str | Blank] = []
    for literal, name, form, conversion in Formatter().parse(text):
        pieces += [literal] if literal else []
        if name is not None:
            pieces.append(Blank(name, form or "", conversion == "r"))
    return tuple(pieces)


class Catalogue:
    """The sentences of one language, from TOML files (package, name); of a code in several the first counts.

    A file has a table a code, ``[code]`` on a line of its own, and nothing else. What is parsed is the one table that
    a sentence needs: the whole of a file takes longer than most commands.

    Any thread: two may read the files or compile an entry at the same time, to the same. With ``strict``
    (tests) a message that cannot be said raises Unsaid; else its code and its facts are shown, so that no page and no
    log line is lost to a wrong one.
    """

    strict: ClassVar[bool] = False

    def __init__(self, language: str, *sources: tuple[str, str]) -> None:
        self.language, self._sources = language, sources
        self._tables: Mapping[str, str] | None = None
        self._entries: dict[str, Entry] = {}

    def tables(self) -> Mapping[str, str]:
        """By code: the lines of its table, as the files have them."""
        if self._tables is None:
            from importlib.resources import files

            found: dict[str, str] = {}
            for package, name in reversed(self._sources):
                pieces = iter(_HEADER.split((files(package) / name).read_text("utf-8"))[1:])
                found |= zip(pieces, pieces, strict=True)
            self._tables = found
        return self._tables

    def entry(self, code: str) -> Entry:
        """What stands under a code. Raises Unsaid."""
        if (entry := self._entries.get(code)) is None:
            import tomllib

            lines = self.tables().get(code)
            if lines is None:
                raise Unsaid(f"no sentence for {code}")
            table: Mapping[str, str] = tomllib.loads(lines)
            texts = {"other" if key == "text" else key: _template(text) for key, text in table.items() if key != "fix"}
            entry = self._entries[code] = Entry(texts, _template(table.get("fix", "")))
        return entry

    def knows(self, message: Message) -> bool:
        """Whether it can be said: each code, its own and those within, with each fact that its sentence shows."""
        try:
            self._filled(message, self._text_of(message))
            self._filled(message, self.entry(message.code).fix)
        except Unsaid:
            return False
        return True

    def text(self, message: Message) -> str:
        """The sentence, without its fix."""
        return self._or_facts(message, lambda: self._filled(message, self._text_of(message)))

    def fix(self, message: Message) -> str:
        """What to do about it; ``""`` where the sentence has none."""
        try:
            template = self.entry(message.code).fix
        except Unsaid:
            return ""
        return self._or_facts(message, lambda: self._filled(message, template)) if template else ""

    def whole(self, message: Message) -> str:
        """Both together."""
        text, fix = self.text(message), self.fix(message)
        return self.words("text-and-fix", text=text, fix=fix) if fix else text

    def words(self, code: str, **facts: object) -> str:
        """One of the catalogue's own forms, filled with finished text: how a list goes on, what 3 min are."""
        return "".join(p if isinstance(p, str) else str(facts[p.fact]) for p in self.entry(code).texts["other"])

    def _or_facts(self, message: Message, make: Callable[[], str]) -> str:
        try:
            return make()
        except Unsaid:
            if self.strict:
                raise
            return f"{message.code}: {', '.join(f'{k}={v}' for k, v in message.facts.items())}".removesuffix(": ")

    def _text_of(self, message: Message) -> Template:
        texts = self.entry(message.code).texts
        if len(texts) == 1:
            return texts["other"]
        n = message.facts.get("n")
        if not isinstance(n, int):
            raise Unsaid(f"{message.code}: n is not a count")
        return texts[_PLURAL[self.language](n)]

    def _filled(self, message: Message, template: Template) -> str:
        return "".join(piece if isinstance(piece, str) else self._shown(message, piece) for piece in template)

    def _shown(self, message: Message, blank: Blank) -> str:
        """What stands in a blank. Raises Unsaid."""
        try:
            fact: Any = message.facts[blank.fact]
            if blank.form:
                return FORMATS[blank.form](fact, blank.fact, self)
            return self.shown(repr(fact) if blank.quoted else fact)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Unsaid(f"{message.code}: {blank.fact}: {error!r}") from None

    def shown(self, fact: Fact) -> str:
        """A fact without a format: a number or a text as it is, a message as its sentence. Raises Unsaid, TypeError."""
        if isinstance(fact, Message):
            return self._filled(fact, self._text_of(fact))
        if isinstance(fact, tuple):
            raise TypeError("a list needs a format")
        return str(fact)

    def fix_shown(self, message: Message) -> str:
        """The fix of a message that is a fact of another one. Raises Unsaid."""
        return self._filled(message, self.entry(message.code).fix)


Message.english = Catalogue("en", ("ledger_client", "en.toml"))

Sentence: TypeAlias = Message | str
"""What is said: a message, or a finished English text, of others or of before messages had codes."""


def sentence_of(error: BaseException) -> Sentence:
    """What another message quotes of an error: its own message, without the fix, where it is made of one."""
    sentence = getattr(error, "sentence", None)
    return sentence if isinstance(sentence, Message | str) else str(error)
