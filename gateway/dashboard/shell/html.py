"""Facts → HTML: one jinja2 environment a language, everything escaped, templates of the frame and of one application.

``Html`` is the HTML of an application: its package has ``templates``, ``static`` and ``words.toml``, which stand beside
those of the frame. Nothing here knows what the pages are about.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial
from importlib.resources import files
from pathlib import PurePosixPath
from types import CodeType
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from gateway.dashboard.shell import formats
from gateway.dashboard.shell.alarm_words import advice, what
from gateway.dashboard.shell.catalog import SHELL, Words, table_of
from gateway.dashboard.shell.formats import Times
from gateway.dashboard.shell.page import Answer
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.asked_range import stamp
from gateway.messages.languages import (
    LANGUAGES,
    choose,
    fix_in_language,
    in_language,
    sentence_in,
    whole_in_language,
)
from gateway.messages.message import Message
from gateway.messages.reasons import why
from gateway.verdicts import shared_flags, verdict
from ledger_client import message_formats
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
THEMES: Final = ("auto", "light", "dark")
_COMMENT: Final = re.compile(rb"//.*|/\*.*\*/")
File = tuple[bytes, str, str]
"""A file of ours as it is sent: content, media type, and the short hash that its address carries."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page, and how: ``role`` viewer or installer; ``form`` is what the session's forms must carry;
    ``sentence``: what the last act came to, and whether it went ``well``; of a form that was refused ``typed``, its
    fields, and ``wrong``, the one that is to be corrected."""

    language: str = "en"
    theme: str = "auto"
    user: str = ""
    role: str = ""
    form: str = ""
    path: str = "/"
    query: str = ""
    sentence: Sentence = ""
    well: bool = True
    typed: Mapping[str, str] = field(default_factory=dict)
    wrong: str = ""

    @classmethod
    def of(cls, asked: Asked) -> Visitor:
        """The visitor of a request: user, language and theme by session, cookies and the browser's languages."""
        theme = asked.cookies.get("theme", "")
        return cls(
            language=choose(asked.languages, asked.cookies.get("language")),
            theme=theme if theme in THEMES else THEMES[0],
            user=asked.user,
            role=asked.role or "",
            form=asked.form,
            path=asked.path,
            query=urlencode([(key, value) for key, value in asked.pairs if key not in ("language", "theme")]),
            sentence=asked.sentence,
            well=asked.well,
            typed=asked.facts.get("typed", {}),
            wrong=asked.facts.get("wrong", ""),
        )

    @property
    def installs(self) -> bool:
        """May order what only an installer may."""
        return self.role == "installer"

    @property
    def here(self) -> str:
        """The address of the page that is shown."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def asked(self, key: str) -> str:
        """What the address says under a key."""
        return dict(parse_qsl(self.query)).get(key, "")

    def but(self, **choice: object) -> str:
        """The same address with something chosen otherwise, or (None) not at all."""
        kept = [(key, value) for key, value in parse_qsl(self.query) if key not in choice]
        chosen = [(key, value) for key, value in choice.items() if value is not None]
        return f"?{urlencode([*kept, *chosen], safe=':')}"


class _Compiled(BytecodeCache):
    """Templates as they were compiled for one language: the others take the same code, which holds no word of any."""

    def __init__(self) -> None:
        self._codes: dict[str, CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is there."""
        bucket.code = self._codes.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it."""
        assert bucket.code is not None
        self._codes[bucket.key] = bucket.code


@dataclass(frozen=True, slots=True)
class Names:
    """What the templates of an application may use besides: ``globals_`` and ``filters`` in the words of a language,
    ``page`` in the words and times of one page."""

    globals_: Callable[[Words], Mapping[str, Any]] = lambda words: {}
    filters: Callable[[Words], Mapping[str, Any]] = lambda words: {}
    page: Callable[[Words, Times], Mapping[str, Any]] = lambda words, times: {}


class Html:
    """The HTML of one application.

    Args:
        package: whose ``templates``, ``static`` and ``words.toml`` it has besides those of the frame.
        menu: key and path of each page of the menu; its word is ``nav.KEY``.
        names: what its templates use besides.
    """

    def __init__(self, package: str, menu: Sequence[tuple[str, str]], names: Names) -> None:
        self.package, self._menu, self._names = package, tuple(menu), names
        self._compiled = _Compiled()
        self._environments: dict[str, Environment] = {}
        self._words: dict[str, Words] = {}
        self._files: dict[str, File] = {}
        self.files: Mapping[str, str] = {
            name: origin for origin in (SHELL, package) for name in _names_of(origin, "static")
        }
        """Static files by name, and in which package each is."""

    def words(self, language: str) -> Words:
        """The messages in one language."""
        return self._words.get(language) or self._words.setdefault(language, Words(language, table_of(self.package)))

    def static(self, name: str) -> File | None:
        """A static file without indentation and lines of comment; None: there is none."""
        if name not in self._files and name in self.files:
            lines = (files(self.files[name]) / "static" / name).read_bytes().splitlines()
            content = b"\n".join(line for line in map(bytes.lstrip, lines) if line and not _COMMENT.fullmatch(line))
            media_type = MEDIA_TYPES[PurePosixPath(name).suffix]
            self._files[name] = content, media_type, hashlib.sha256(content).hexdigest()[:12]
        return self._files.get(name)

    def environment(self, language: str) -> Environment:
        """The environment of one language."""
        if language not in self._environments:
            self._environments[language] = self._made(language)
        return self._environments[language]

    def prepare(self) -> None:
        """Read and compile everything, so that no page waits for it. Takes a second: not on the event loop."""
        for language in LANGUAGES:
            in_language(Message("act-unknown"), language)  # reads the catalogue
            env = self.environment(language)
            for template in env.list_templates():
                env.get_template(template)
        for name in self.files:
            self.static(name)

    def page(self, template: str, visitor: Visitor, now_ms: int, zone: tzinfo = UTC, **facts: Any) -> str:
        """A whole page.

        Args:
            template: name of a file of the application, or of the frame.
            visitor: language, theme, rights and form token.
            now_ms: the time that ages on the page count from.
            zone: of the times on the page.
            facts: what the template shows.
        """
        times, words = Times(now_ms, zone), self.words(visitor.language)
        return (
            self.environment(visitor.language)
            .get_template(template)
            .render(
                visitor=visitor,
                now_ms=now_ms,
                times=times,
                time=partial(_time, times),
                **self._names.page(words, times),
                **facts,
            )
        )

    def _made(self, language: str) -> Environment:
        words, in_words = self.words(language), partial(in_language, language=language)
        env = Environment(
            loader=ChoiceLoader([PackageLoader(self.package), PackageLoader(SHELL)]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
            bytecode_cache=self._compiled,
        )
        env.globals.update(
            t=words,
            word=words.of,
            has_word=words.has,
            language=language,
            menu=self._menu,
            asset=self._asset,
            reasons=partial(reasons, words),
            why=why,
            stamp=stamp,
            shared_flags=shared_flags,
            **self._names.globals_(words),
        )
        env.filters.update(
            age=lambda ms: formats.age(ms, words),
            short=lambda v: formats.short(*formats.of_one(v.name, v.value, v.unit)),
            exact=lambda v: formats.exact(v.value, v.unit),
            verdict=verdict,
            text=formats.name,
            identity=formats.identity,
            ticks=_ticks,
            size=message_formats.size,
            hex=bytes.hex,
            without=lambda flags, others: flags & ~others,
            rounded=formats.rounded,
            in_words=in_words,
            sentence=lambda fields: sentence_in(fields, fields["text"]),
            fix_in_words=partial(fix_in_language, language=language),
            whole_in_words=partial(whole_in_language, language=language),
            what=partial(what, words),
            advice=partial(advice, words),
            **self._names.filters(words),
        )
        return env

    def _asset(self, name: str) -> str:
        found = self.static(name)
        assert found is not None, name
        return f"/static/{name}?{found[2]}"


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around each page: ``brand``, the name of what it is of, and the zone of its times."""

    html: Html
    brand: str
    now_ms: Callable[[], int]
    zone: Callable[[], tzinfo]

    def login(self, asked: Asked, problem: Sentence) -> Answer:
        """Where one logs in."""
        facts = {"problem": problem, "next": asked.query.get("next", "/")}
        return self._alone("login.html", asked, 403 if problem else 200, facts)

    def problem(self, asked: Asked, status: int, problem: Sentence, way_out: str) -> Answer:
        """Why there is no page."""
        return self._alone("problem.html", asked, status, {"status": status, "problem": problem, "way_out": way_out})

    def _alone(self, template: str, asked: Asked, status: int, facts: dict[str, Any]) -> Answer:
        common = {"brand": self.brand, "here": "", "alarm_count": 0}
        body = self.html.page(template, Visitor.of(asked), self.now_ms(), self.zone(), **common, **facts)
        return Answer(body.encode(), status=status)


def reasons(words: Words, flags: int) -> list[str]:
    """Why a value is not simply good, in words; a bit that this version does not know by its number."""
    bits = (1 << n for n in range(flags.bit_length()) if flags >> n & 1)
    return [_flag(words, bit) for bit in bits]


def _flag(words: Words, bit: int) -> str:
    known = bit in Quality.__members__.values()
    return words(f"flag.{Quality(bit).name}") if known else words("flag.unknown", n=bit.bit_length() - 1)


def _names_of(package: str, folder: str) -> list[str]:
    """The files of a folder of a package; none where it has no such folder."""
    found = files(package) / folder
    return sorted(one.name for one in found.iterdir()) if found.is_dir() else []


def _ticks(text: str) -> Markup:
    """What stands between backticks is a command or a key."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _time(times: Times, ms: int | None) -> Markup | str:
    """A moment as text in the site's zone that carries its UTC time with it."""
    if ms is None:
        return "—"
    utc = times.utc(ms)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc, utc, times.text(ms))
