"""Printed page of a commissioning record: one HTML file for A4 that needs nothing but itself, and the same as text.

Its policy forbids it to ask anybody; the QR code is a drawing in it. Pure, but for the files beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from html import escape
from importlib.resources import files

import segno

from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.record.rows import compared, rows
from gateway.commissioning.record.words import Words

MADE_BY = '<meta name="generator" content="meterseal commission">'
"""What tells such a page from any other file."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Shown:
    """A record and what is said of it. ``record_id``: METER/EPOCH/SEQ, None while it waits to be signed; ``state``:
    waiting, recorded, sealed, anchored or pruned; ``device``: what its profile calls the device, "" where that is not
    known; ``before``: id of the signed record of which it takes the place."""

    gateway: str
    record: CommissioningRecord
    record_id: str | None
    state: str
    zone: tzinfo
    batch: int | None = None
    ledgers: tuple[str, ...] = ()
    device: str = ""
    before: str | None = None

    def sentence(self, words: Words) -> str:
        """The state in words."""
        return words(f"page.{self.state}", batch=self.batch, ledgers=", ".join(self.ledgers))


def as_text(shown: Shown, words: Words) -> str:
    """The record, a fact a line."""
    lines = [
        (words("page.record"), shown.record_id or "—"),
        (words("page.state"), shown.sentence(words)),
        *([("", words("page.signed-before", record=shown.before))] if shown.before else []),
    ]
    for row in rows(shown.record, words, shown.zone, shown.device):
        lines += [(row.label if n == 0 else "", line) for n, line in enumerate(row.lines)]
    width = max(len(label) for label, _ in lines)
    text = [f"{label:<{width}}  {line}" for label, line in lines]
    text.append(f"{words('compared.title')}:")
    for each in compared(shown.record, words, shown.zone):
        text.append(f"  {each.point}: {each.read}; {words('compared.display')}: {each.display}; {each.sentence}")
        text += [f"    {label} {frame}" for label, frame in _frames(each.request, each.answer, words)]
    if not shown.record.comparisons:
        text.append(f"  {words('compared.none')}")
    return "\n".join(text)


def as_html(shown: Shown, language: str) -> str:
    """The page; ``language``: one of words.LANGUAGES."""
    return "\n".join(_parts(shown, Words(language)))


def _parts(shown: Shown, words: Words) -> Iterator[str]:
    title = f"{words('page.title')}: {shown.record.meter}"
    language = {"zh": "zh-CN"}.get(words.languages[0], words.languages[0])
    yield f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield f'{MADE_BY}<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{_sheet()}</style></head><body><main>"
    yield f"<header><div><h1>{escape(title)}</h1><p>{_escaped(words, 'page.gateway', gateway=shown.gateway)}</p>"
    yield f'<p>{_escaped(words, "page.record")}: <b class="exact">{escape(shown.record_id or "—")}</b></p>'
    yield f'<p class="state">{_escaped(words, "page.state")}: {escape(shown.sentence(words))}</p>'
    if shown.before:
        yield f"<p>{_escaped(words, 'page.signed-before', record=shown.before)}</p>"
    yield f"</div>{_code(shown, words)}</header>"
    yield f"<dl>{''.join(_facts(shown, words))}</dl>"
    yield f"<section><h2>{_escaped(words, 'compared.title')}</h2>{_table(shown, words)}</section>"
    yield f"<footer>{_lines(shown, words)}</footer></main></body></html>"


def _facts(shown: Shown, words: Words) -> Iterator[str]:
    for row in rows(shown.record, words, shown.zone, shown.device):
        kind = ' class="exact"' if row.exact else ""
        text = "<br>".join(map(escape, row.lines))
        yield f'<div class="{row.key}"><dt>{escape(row.label)}</dt><dd{kind}>{text}</dd></div>'


def _code(shown: Shown, words: Words) -> str:
    """The record's id as a QR code; nothing while there is none."""
    if shown.record_id is None:
        return ""
    drawn = segno.make(shown.record_id, error="m", micro=False).svg_inline(
        scale=3, border=4, omitsize=True, title=words("page.code"), svgclass="code"
    )
    return str(drawn)


def _table(shown: Shown, words: Words) -> str:
    if not shown.record.comparisons:
        return f"<p>{_escaped(words, 'compared.none')}</p>"
    head = "".join(
        f'<th scope="col">{_escaped(words, f"compared.{name}")}</th>'
        for name in ("point", "read", "display", "verdict")
    )
    body = ""
    for each in compared(shown.record, words, shown.zone):
        cells = f"<td>{escape(each.read)}</td><td>{escape(each.display)}</td>"
        mark = "✓" if each.verdict == "agrees" else "✗"
        frames = "".join(
            f"<div><span>{escape(label)}</span> {escape(frame)}</div>"
            for label, frame in _frames(each.request, each.answer, words)
        )
        time = f"{_escaped(words, 'compared.at')} {escape(each.time)}"
        body += (
            f'<tbody class="{each.verdict}"><tr><th scope="row">{escape(each.point)}</th>{cells}'
            f"<td>{mark} {escape(each.sentence)}</td></tr>"
            f'<tr class="frames"><td colspan="4">{time}{frames}</td></tr></tbody>'
        )
    return f"<table><thead><tr>{head}</tr></thead>{body}</table>"


def _frames(request: str, answer: str, words: Words) -> Iterator[tuple[str, str]]:
    if request:
        yield words("compared.asked"), request
    if answer:
        yield words("compared.answered"), answer


def _lines(shown: Shown, words: Words) -> str:
    signature = f"<p>{_escaped(words, 'page.date')}<i></i> {_escaped(words, 'page.signature')}<i></i></p>"
    if shown.record_id is None:
        return signature
    command = f"meterseal prove gateway.toml {shown.record_id} -o FILE.mseal"
    return f'{signature}<p class="exact">{_escaped(words, "page.proof")}: {escape(command)}</p>'


def _escaped(words: Words, key: str, **fields: object) -> str:
    return escape(words(key, **fields))


@cache
def _sheet() -> str:
    return (files("gateway.commissioning.record") / "page.css").read_text("utf-8").strip()
