"""Facts → HTML: one jinja2 environment a language, everything escaped, templates from this package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache, partial
from importlib.resources import files
from types import CodeType
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from gateway.dashboard.auth.sessions import Asked
from gateway.dashboard.pages.events import event_name, plain, worded
from gateway.dashboard.pages.records import records_address
from gateway.dashboard.render import figures_words, formats, totals_words
from gateway.dashboard.render.alarm_words import advice, what
from gateway.dashboard.render.catalog import Words
from gateway.dashboard.render.commissioned import commissioned
from gateway.dashboard.render.flow_svg import picture
from gateway.dashboard.render.formats import Times
from gateway.dashboard.render.merkle_svg import drawing
from gateway.dashboard.render.panels import alone, draw
from gateway.dashboard.time.asked_range import stamp
from gateway.devices.knowledge.quantities import has_sign
from gateway.messages.alarm_kinds import LINE_CODES
from gateway.messages.languages import (
    LANGUAGES,
    Stored,
    choose,
    fix_in_language,
    in_language,
    sentence_in,
    whole_in_language,
)
from gateway.messages.message import Message
from gateway.messages.reasons import CAUSES, why
from gateway.totals.periods import PERIODS
from gateway.verdicts import VERDICTS, shared_flags, verdict
from ledger_client import message_formats
from ledger_client.formats.senml import Number, Quality
from ledger_client.messages import Sentence

STATIC: Final = {
    "style.css": "text/css; charset=utf-8",
    "accounts.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_COMMENT: Final = re.compile(rb"//.*|/\*.*\*/")
THEMES: Final = ("auto", "light", "dark")
LIVE_WORDS: Final = ("s", "min", "h", "d")
SENTENCES: Final = ("text", "why")
"""Facts of events that the gateway itself has recorded."""
IDENTITIES: Final = ("identity", "old")
"""Facts of events that are identities of meters."""
MOMENTS: Final = ("after", "before", "began", "until")
"""Facts of events that are times in ms, where they are numbers of that size."""


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


@cache
def static(name: str) -> tuple[bytes, str, str] | None:
    """A file of ours as it is sent: its content without indentation and lines of comment, its media type, and the short
    hash that its address carries (cached permanently)."""
    if name not in STATIC:
        return None
    lines = [line.lstrip() for line in (files("gateway.dashboard") / "static" / name).read_bytes().splitlines()]
    content = b"\n".join(line for line in lines if line and not _COMMENT.fullmatch(line))
    return content, STATIC[name], hashlib.sha256(content).hexdigest()[:12]


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


_COMPILED: Final = _Compiled()


@cache
def environment(language: str) -> Environment:
    """The environment of one language."""
    words = Words(language)
    in_words = partial(in_language, language=language)
    env = Environment(
        loader=PackageLoader("gateway.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
        bytecode_cache=_COMPILED,
    )
    env.globals.update(
        t=words,
        word=words.of,
        has_word=words.has,
        points_called=partial(_points_called, words),
        language=language,
        asset=_asset,
        reasons=partial(reasons, words),
        why=why,
        stamp=stamp,
        records_address=records_address,
        live_words=_live_words(words),
        shared_flags=shared_flags,
        moments=MOMENTS,
        sign_of=figures_words.sign,
        why_of=partial(figures_words.why_text, words),
        scale_of=figures_words.scale_of,
        scale_for=figures_words.scale_for,
        percent=figures_words.percent,
        clock_of=figures_words.clock,
        moment_of=figures_words.moment,
        period_of=figures_words.month_of,
        offset_of=figures_words.offset,
        called=figures_words.called,
        commissioned=partial(commissioned, language),
        periods=PERIODS,
        flow_picture=partial(picture, words),
        total=partial(totals_words.total, words),
        lacking=partial(totals_words.lacking, words),
        statuses_of=partial(totals_words.statuses_of, words),
    )
    env.filters.update(
        age=partial(_age, words),
        short=lambda v: formats.short(*formats.of_one(v.name, v.value, v.unit)),
        exact=lambda v: formats.exact(v.value, v.unit),
        end_of=_end,
        verdict=verdict,
        text=formats.name,
        identity=formats.identity,
        symbol=formats.symbol,
        ticks=_ticks,
        size=message_formats.size,
        hex=bytes.hex,
        plain=plain,
        worded=worded,
        event_name=event_name,
        without=lambda flags, others: flags & ~others,
        rounded=formats.rounded,
        signed=has_sign,
        in_words=in_words,
        sentence=lambda fields: sentence_in(fields, fields["text"]),
        fix_in_words=partial(fix_in_language, language=language),
        whole_in_words=partial(whole_in_language, language=language),
        part=lambda alarm: _part(in_words, alarm.line, alarm.code),
        what=partial(what, words),
        advice=partial(advice, words),
        fact=partial(_fact, in_words),
    )
    return env


def prepare() -> None:
    """Read and compile everything, so that no page waits for it. Takes a second: not on the event loop."""
    for language in LANGUAGES:
        in_language(Message("act-unknown"), language)  # reads the catalogue
        env = environment(language)
        for template in env.list_templates():
            env.get_template(template)
    for name in STATIC:
        static(name)


def page(template: str, visitor: Visitor, now_ms: int, zone: tzinfo = UTC, **facts: Any) -> str:
    """A whole page.

    Args:
        template: name of a file of this package.
        visitor: language, theme, rights and form token.
        now_ms: the time that ages on the page count from.
        zone: of the times on the page.
        facts: what the template shows.
    """
    times = Times(now_ms, zone)
    env, words = environment(visitor.language), Words(visitor.language)
    return env.get_template(template).render(
        visitor=visitor,
        now_ms=now_ms,
        times=times,
        time=partial(_time, times),
        draw=partial(draw, words, times),
        alone=alone,
        pathway=partial(drawing, words),
        **facts,
    )


def reasons(words: Words, flags: int) -> list[str]:
    """Why a value is not simply good, in words; a bit that this version does not know by its number."""
    bits = (1 << n for n in range(flags.bit_length()) if flags >> n & 1)
    return [_flag(words, bit) for bit in bits]


def _flag(words: Words, bit: int) -> str:
    known = bit in Quality.__members__.values()
    return words(f"flag.{Quality(bit).name}") if known else words("flag.unknown", n=bit.bit_length() - 1)


def _part(in_words: Callable[[Sentence | Stored], str], line: str, code: str) -> str:
    """What an alarm is about: a line by its name, or a part of the gateway."""
    return line if code in LINE_CODES else in_words(line)


def _fact(in_words: Callable[[Sentence | Stored], str], value: str | Stored, key: str, code: str) -> str:
    """A fact of an event; ``code`` of the alarm, where it is about one."""
    if not isinstance(value, str):
        return in_words(value)
    if key == "line" and code:
        return _part(in_words, value, code)
    if key in IDENTITIES:
        return formats.identity(value)
    return in_words(value) if key in SENTENCES else value


def _ticks(text: str) -> Markup:
    """What stands between backticks is a command or a key."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _asset(name: str) -> str:
    found = static(name)
    assert found is not None, name
    return f"/static/{name}?{found[2]}"


def _age(words: Words, ms: int | None) -> str:
    return formats.age(ms, words)


def _time(times: Times, ms: int | None) -> Markup | str:
    """A moment as text in the site's zone that carries its UTC time with it."""
    if ms is None:
        return "—"
    utc = times.utc(ms)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc, utc, times.text(ms))


def _points_called(words: Words, points: Iterable[str]) -> str:
    """The words of some points by their names, as JSON for an attribute."""
    return json.dumps({point: words.of("point", point) for point in points}, ensure_ascii=False, separators=(",", ":"))


def _end(limit: Number, unit: str | None) -> str:
    """A limit with its unit."""
    text = formats.exact(limit, unit)
    return f"{text.digits} {text.unit}".strip()


def _live_words(words: Words) -> str:
    """What the script needs of the table, as JSON for an attribute."""
    flags = {flag.bit_length() - 1: words(f"flag.{flag.name}") for flag in Quality}
    sentence: Mapping[str, Any] = {
        "units": {key: words(f"unit.{key}", n="#") for key in LIVE_WORDS},
        "verdicts": {key: words(f"verdict.{key}") for key in VERDICTS},
        "states": {key: words(f"state.{key}") for key in ("live", "recorded", "not-recorded")},
        "stream": {key: words(f"stream.{key}") for key in ("on", "off", "out", "enter")},
        "reasons": {name: words(f"reason.{name}") for name in CAUSES},
        "flags": flags,
        "silent": words("site.silent-for", age="#"),
        "unread": words("site.no-reading-for", age="#"),
        "asleep": words("site.asleep-for", age="#"),
        "none": words("site.anchoring-none"),
        "last": words("site.last"),
        "well": words("site.meters-of", n="#n", all="#a"),
        "ways": {way: words(f"totals.{way}") for way in ("given", "taken")},
        "shown": words("site.shown", n="#n", all="#a"),
        "unseen": words("site.unseen", n="#"),
    }
    return json.dumps(sentence, ensure_ascii=False, separators=(",", ":"))
