"""HTML of a gateway's pages: what its templates use besides the frame (``dashboard.shell.html``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from gateway.dashboard.pages.events import plain, worded
from gateway.dashboard.pages.records import records_address
from gateway.dashboard.render import figures_words, totals_words
from gateway.dashboard.render.commissioned import commissioned
from gateway.dashboard.render.flow_svg import picture
from gateway.dashboard.render.merkle_svg import drawing
from gateway.dashboard.render.panels import alone, draw
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.formats import Content, Times
from gateway.dashboard.shell.html import Html, Names
from gateway.devices.knowledge.quantities import has_sign
from gateway.devices.points import Point
from gateway.messages.alarm_kinds import LINE_CODES
from gateway.messages.languages import Stored, in_language
from gateway.messages.reasons import CAUSES
from gateway.records import event_name
from gateway.totals.periods import PERIODS
from gateway.verdicts import VERDICTS
from ledger_client.formats.senml import Number, Quality
from ledger_client.messages import Sentence

PACKAGE: Final = "gateway.dashboard"
MENU: Final = (
    ("site", "/"),
    ("energy", "/energy"),
    ("emissions", "/emissions"),
    ("balance", "/balance"),
    ("charts", "/charts"),
    ("batches", "/batches"),
    ("events", "/events"),
    ("alarms", "/alarms"),
    ("completeness", "/completeness"),
    ("diagnosis", "/diagnosis"),
)
LIVE_WORDS: Final = ("s", "min", "h", "d")
SENTENCES: Final = ("text", "why")
"""Facts of events that the gateway itself has recorded."""
IDENTITIES: Final = ("identity", "old")
"""Facts of events that are identities of meters."""
MOMENTS: Final = ("after", "before", "began", "until")
"""Facts of events that are times in ms, where they are numbers of that size."""


def _globals(words: Words) -> Mapping[str, Any]:
    return {
        "points_called": partial(_points_called, words),
        "records_address": records_address,
        "live_words": _live_words(words),
        "moments": MOMENTS,
        "sign_of": figures_words.sign,
        "why_of": partial(figures_words.why_text, words),
        "scale_of": figures_words.scale_of,
        "scale_for": figures_words.scale_for,
        "percent": figures_words.percent,
        "clock_of": figures_words.clock,
        "moment_of": figures_words.moment,
        "period_of": figures_words.month_of,
        "offset_of": figures_words.offset,
        "called": figures_words.called,
        "commissioned": partial(commissioned, words.language),
        "periods": PERIODS,
        "flow_picture": partial(picture, words),
        "total": partial(totals_words.total, words),
        "lacking": partial(totals_words.lacking, words),
        "statuses_of": partial(totals_words.statuses_of, words),
    }


def _filters(words: Words) -> Mapping[str, Any]:
    in_words = partial(in_language, language=words.language)
    return {
        "end_of": _end,
        "symbol": _symbol,
        "plain": plain,
        "worded": worded,
        "event_name": event_name,
        "signed": has_sign,
        "part": lambda alarm: _part(in_words, alarm.line, alarm.code),
        "fact": partial(_fact, in_words),
    }


def _of_page(words: Words, times: Times) -> Mapping[str, Any]:
    return {"draw": partial(draw, words, times), "alone": alone, "pathway": partial(drawing, words)}


HTML: Final = Html(PACKAGE, MENU, Names(_globals, _filters, _of_page))
"""The pages of a gateway."""


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


def _symbol(value: Content, point: Point | None) -> str:
    """What a status is called: the word of its code, or of each of its bits that is set."""
    return "" if point is None else point.symbol(value)


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
