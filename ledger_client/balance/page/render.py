"""Balance page: one HTML file that needs nothing but itself, in English or Chinese (rules B1–B4). Reads its own files.

Every figure leads to the row that it follows from; every plot has its figures as a table. The page asks no network: its
own policy forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from ledger_client.accounting.formats.civil_time import offset_text
from ledger_client.balance import result as codes
from ledger_client.balance.page import plots
from ledger_client.balance.page.amounts import day, kg, kwh, percent
from ledger_client.balance.page.plots import HOUR_MS, LEVELS, MINUTE_MS, Bar, Step
from ledger_client.balance.page.tables import Tables
from ledger_client.balance.page.words import Words
from ledger_client.balance.result import Hour, Result

_LINKS: Final = {
    codes.SCOPE_1: "#emissions", codes.SCOPE_2: "#months", codes.CERTIFICATES: "#hours", codes.OFFSETS: "#offsets",
    codes.RESIDUAL: "#verdict",
}  # fmt: skip
"""Where the figure of a step of the waterfall comes from."""


def render(result: Result, lang: str) -> str:
    """The page of a balance; ``lang``: one of words.LANGUAGES."""
    return "\n".join(_Page(result, Words(lang)).parts())


@cache
def _file(name: str) -> str:
    return (files("ledger_client.balance.page") / name).read_text("utf-8").strip()


class _Page:
    def __init__(self, result: Result, words: Words) -> None:
        self._result, self._t, self._tables = result, words, Tables(result, words)
        self._civil = result.civil_min

    def parts(self) -> Iterator[str]:
        """The whole file, top to bottom."""
        title = self._t(
            "page.title", party=self._result.party, begin=day(self._result.from_ms, self._civil),
            end=day(self._result.to_ms, self._civil),
        )  # fmt: skip
        script, runs = _file("page.js"), json.dumps(_runs(self._result.hours, self._civil), separators=(",", ":"))
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        language = {"zh": "zh-CN"}.get(self._t.language, self._t.language)
        yield f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield f"<title>{escape(title)}</title><style>{_file('page.css')}</style></head><body>{plots.HATCH}"
        yield f'<a class="skip" href="#main">{self._t("page.skip")}</a><main id="main"><header>'
        yield f"<h1>{escape(title)}</h1>{self._about()}</header>"
        yield self._verdict()
        yield self._keys()
        yield from self._plots()
        yield from self._cited()
        yield f'</main><script type="application/json" id="runs">{runs}</script><script>{script}</script></body></html>'

    def _about(self) -> str:
        result, none = self._result, self._t("page.none-named")
        named = (
            ("zone", result.zone), ("deliverable", ", ".join(result.deliverable) or self._t("page.none")),
            ("boundary", result.boundary or none), ("exclusions", "; ".join(result.exclusions) or none),
        )  # fmt: skip
        lines = "".join(f"<dt>{self._t(f'page.{name}')}</dt><dd>{escape(text)}</dd>" for name, text in named)
        civil = self._t("page.civil", offset=offset_text(self._civil))
        return f'<p class="quiet">{civil} {self._t("page.units")}</p><dl class="about">{lines}</dl>'

    def _verdict(self) -> str:
        result, t = self._result, self._t
        well = result.neutralised
        left = f"<p>{t('verdict.left', kg=kg(result.residual_g))}</p>" if result.residual_g else ""
        blocks = f' <span class="bar-mark">✗ {t("verdict.blocks")}</span>'
        items = "".join(
            f"<li>{t(f'finding.{f.code}', n=f.number, where=self._tables.cited(f.where))} "
            f"<small>{escape(f.rule)}</small>{blocks if result.blocks(f) else ''}</li>"
            for f in result.findings
        )
        found = f'<h2>{t("verdict.findings")}</h2><ul id="findings">{items}</ul>' if items else ""
        return (
            f'<section class="verdict {"yes" if well else "no"}" id="verdict"><h2>{"✓" if well else "✗"} '
            f"{t('verdict.yes' if well else 'verdict.no')}</h2>{left}{self._attested()}"
            f'<p class="quiet">{t("verdict.rule")}</p>{found}</section>'
        )

    def _attested(self) -> str:
        """By whom, and that nobody has asked for the offsets."""
        t, review = self._t, self._result.review
        by = ", ".join(f"{name} ({level})" for name, level in review.attested) if review else ""
        lines = [t("verdict.attested", by=escape(by)) if by else t("verdict.not-attested")]
        if review and review.others:
            others = ", ".join(f"{name}: {verdict}" for name, verdict in review.others)
            lines.append(t("verdict.others", others=escape(others)))
        if self._result.offsets:
            lines.append(t("verdict.offsets", kg=kg(self._result.offsets_g)))
        return "".join(f"<p>{line}</p>" for line in lines)

    def _keys(self) -> str:
        result, t = self._result, self._t
        average, residual = (self._tables.factor_link(f) for f in (result.average, result.residual))
        covered = percent(result.hourly.covered_milli, result.load_milli)
        figures = [
            ("load", f'<a href="#months">{kwh(result.load_milli)}</a> kWh', ""),
            ("covered", f'<a href="#hours">{kwh(result.hourly.covered_milli)}</a> kWh', covered),
            ("location", f'<a href="#months">{kg(result.location_g)}</a> kg', average),
            ("market", f'<a href="#months">{kg(result.market_g)}</a> kg', residual),
            ("scope-1", f'<a href="#emissions">{kg(result.scope_1_g)}</a> kg', ""),
            ("offsets", f'<a href="#offsets">{kg(result.offsets_g)}</a> kg', ""),
            ("residual", f'<a href="#waterfall">{kg(result.residual_g)}</a> kg', ""),
            ("reductions", *self._reductions()),
        ]
        items = "".join(
            f"<div><dt>{t(f'key.{name}')}</dt><dd>{figure}<small>{beside}</small></dd></div>"
            for name, figure, beside in figures
        )
        return f'<section><dl class="keys">{items}</dl></section>'

    def _reductions(self) -> tuple[str, str]:
        base, reductions = self._result.base, self._result.reductions_g
        if base is None or reductions is None:
            return "—", self._t("key.no-base")
        sentence = self._t(
            "key.base", begin=day(base.from_ms, self._civil), end=day(base.to_ms, self._civil), kg=kg(base.mass_g),
            document=f"<code>{base.document.hex()}</code>",
        )  # fmt: skip
        return f"{kg(reductions)} kg", sentence

    def _plots(self) -> Iterator[str]:
        yield self._section("waterfall", self._waterfall())
        yield self._section("carpet", self._carpets())
        yield self._section("bars", self._bars())
        yield self._section("duration", self._duration())
        match = f'<p class="quiet">{self._t("match.help")}</p>{self._tables.matching()}'
        yield f'<section id="matching"><h2>{self._t("match.title")}</h2>{match}</section>'

    def _section(self, name: str, content: str) -> str:
        return f'<section id="{name}"><h2>{self._t(f"plot.{name}")}</h2>{content}</section>'

    def _folded(self, table: str) -> str:
        return f"<details><summary>{self._t('page.table')}</summary>{table}</details>"

    def _waterfall(self) -> str:
        falls = self._result.waterfall
        steps = [Step(self._t(f"step.{code}"), mass, kg(mass), code == codes.RESIDUAL) for code, mass in falls]
        rows = [(f'<a href="{_LINKS[code]}">{self._t(f"step.{code}")}</a>', kg(mass)) for code, mass in falls]
        label = self._t("plot.waterfall-label")
        table = self._tables.plain(("step", "mass"), rows, label)
        return plots.waterfall(steps, label, "kg") + self._folded(table)

    def _carpets(self) -> str:
        hours, t = self._result.hours, self._t
        step = plots.round_step(max((hour.load_milli for hour in hours), default=0), LEVELS)
        kinds: tuple[tuple[str, Callable[[Hour], int]], ...] = (
            ("covered", lambda hour: hour.covered_milli), ("uncovered", lambda hour: hour.uncovered_milli),
        )  # fmt: skip
        parts = [f'<p class="quiet screen">{t("plot.carpet-help")}</p>']
        for kind, amount in kinds:
            label = t(f"plot.carpet-{kind}")
            drawn = plots.carpet(hours, [amount(hour) for hour in hours], step, self._civil, kind, label)
            parts.append(f"<p>{label}</p>{drawn}{self._legend(kind, step)}")
        months = "".join(f"<li>{self._tables.month_link(n)}</li>" for n in range(len(self._result.months)))
        return "".join(parts) + f'<p>{t("plot.to-months")}</p><ul class="months">{months}</ul>'

    def _legend(self, kind: str, step: int) -> str:
        items = "".join(
            f'<li><svg aria-hidden="true" class="{kind}"><rect class="l{n}" width="100%" height="100%"/></svg> '
            f"{self._t('plot.level', kwh=kwh(step * n))}</li>"
            for n in range(1, LEVELS + 1)
        )
        return f'<ul class="legend">{items}</ul>'

    def _bars(self) -> str:
        label = self._t("plot.bars-label")
        months = self._result.months
        drawn = [Bar(day(m.from_ms, self._civil)[:7], m.location_g, m.hourly.market_g) for m in months]
        rows = [(self._tables.month_link(n), kg(m.location_g), kg(m.hourly.market_g)) for n, m in enumerate(months)]
        table = self._tables.plain(("month", "location", "market"), rows, label)
        return plots.bars(drawn, label, "kg") + self._folded(table)

    def _duration(self) -> str:
        hours = sorted(self._result.hours, key=lambda hour: -hour.load_milli)
        label = self._t("plot.duration-label")
        drawn = plots.duration([h.load_milli for h in hours], [h.uncovered_milli for h in hours], label, "kWh")
        rows = [
            (f"{n + 1:,}", self._tables.link(hours[n]), kwh(hours[n].load_milli), kwh(hours[n].uncovered_milli))
            for n in plots.ranks(len(hours))
        ]
        table = self._tables.plain(("rank", "hour", "load", "uncovered"), rows, label)
        return drawn + self._folded(table)

    def _cited(self) -> Iterator[str]:
        t, tables, result = self._t, self._tables, self._result
        none = f"<p>{t('page.none')}</p>"
        several = (
            ("months", tables.months()),
            ("stretches", tables.stretches() if result.stretches else none),
            ("emissions", tables.emissions() if result.emissions else none),
            ("offsets", tables.offsets() if result.offsets else none),
            ("statements", tables.statements()),
            ("factors", tables.factors()),
        )
        for name, content in several:
            yield f'<section id="{name}"><h2>{t(f"section.{name}")}</h2>{content}</section>'
        about = f"{t('section.hours-help')} {t('section.slices', n=len(result.slices))}"
        yield f'<section id="hours" class="hours"><h2>{t("section.hours")}</h2><p class="quiet">{about}</p>'
        yield f"{tables.hours()}</section>"


def _runs(hours: tuple[Hour, ...], civil_min: int) -> list[list[int]]:
    """Hours that follow one another: the first as civil hours since 1970, the place of its row, how many."""
    runs: list[list[int]] = []
    for place, hour in enumerate(hours):
        number = (hour.from_ms + civil_min * MINUTE_MS) // HOUR_MS
        if runs and runs[-1][0] + runs[-1][2] == number:
            runs[-1][2] += 1
        else:
            runs.append([number, place, 1])
    return runs
