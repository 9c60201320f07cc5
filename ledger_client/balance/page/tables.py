"""Tables of the balance page: hours, months, what is cited. Each row has an anchor that figures lead to. Pure.

Rows leave out the end tags that HTML lets go: a year of hours stays below 3 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.factor import Factor
from ledger_client.balance.page.amounts import day, kg, kwh, moment, month, percent
from ledger_client.balance.page.words import Words
from ledger_client.balance.result import Hour, Matched, Month, Result, RowRef
from ledger_client.formats.cose_key import base64url

MOST_LINKS: Final = 17_520
"""Rows, and certificates, that are named on a page: two an hour for a year; hours.csv has them all."""


class Tables:
    """The tables of one balance in one language."""

    def __init__(self, result: Result, words: Words) -> None:
        self._result, self._words, self._civil = result, words, result.civil_min
        self._place = {statement.record: n for n, statement in enumerate(result.statements)}
        self._factor = {factor.id: n for n, factor in enumerate(factors_of(result))}
        rows, certs = (sum(len(of) for of in many) for many in self._links())
        self._rows_each = _each(rows, len(result.hours))
        self._certs_each = _each(certs, len(result.hours))
        self._numbers = {hour.from_ms: n for n, hour in enumerate(result.hours)}

    def link(self, hour: Hour) -> str:
        """The name of an hour, leading to its row."""
        return f"<a href=#h{self._numbers[hour.from_ms]}>{moment(hour.from_ms, self._civil)}</a>"

    def month_link(self, place: int) -> str:
        """The name of a month, leading to its row."""
        return f"<a href=#m{place}>{month(self._result.months[place].from_ms, self._civil)}</a>"

    def hours(self) -> str:
        """A folded table a month."""
        heads = ("hour", "load", "covered", "uncovered", "retired", "location", "market", "rows", "certificates")
        parts, hours, place = [], self._result.hours, 0
        for n, of in enumerate(self._result.months):
            begin = place
            while place < len(hours) and (hours[place].from_ms < of.to_ms or n + 1 == len(self._result.months)):
                place += 1
            of_month = hours[begin:place]
            sentence = self._words(
                "section.month", month=month(of.from_ms, self._civil), load=kwh(sum(h.load_milli for h in of_month)),
                covered=kwh(sum(h.covered_milli for h in of_month)),
            )  # fmt: skip
            rows = "\n".join(self._hour(begin + k, hour) for k, hour in enumerate(of_month))
            parts.append(
                f'<details id="hm{n}"><summary>{sentence}</summary>{self._table(heads, rows, sentence)}</details>'
            )
        return "\n".join(parts)

    def months(self) -> str:
        """A row a month: what covers it by the hour and as a whole, both methods."""
        heads = ("month", "load", "unallocated", "retired", "covered", "uncovered", "share", "location", "market")
        rows = "\n".join(self._month(n, of) for n, of in enumerate(self._result.months))
        return self._table(heads, rows, self._words("section.months"))

    def matching(self) -> str:
        """By hour, month and over the period, side by side."""
        result, heads = self._result, ("matching", "covered", "uncovered", "share", "location", "market")
        several = (("hourly", "#hours", result.hourly), ("monthly", "#months", result.monthly),
                   ("yearly", "#months", result.yearly))  # fmt: skip
        rows = "\n".join(self._matched(name, link, of) for name, link, of in several)
        return self._table(heads, rows, self._words("match.title"))

    def stretches(self) -> str:
        """Load of no known hour."""
        heads = ("from", "to", "load", "location", "market", "rows")
        rows = "\n".join(
            f"<tr id=u{n}><th>{moment(of.from_ms, self._civil)}<td>{moment(of.to_ms, self._civil)}"
            f"{_numbers(kwh(of.load_milli), kg(of.location_g), kg(of.market_g))}<td>{self._rows([of.row], 1)}"
            for n, of in enumerate(self._result.stretches)
        )
        return self._table(heads, rows, self._words("section.stretches"))

    def emissions(self) -> str:
        """Scope 1 by node."""
        heads = ("gateway", "node", "mass", "rows")
        rows = "\n".join(
            f"<tr id=e{n}><th>{escape(of.gateway)}<td>{escape(of.node)}{_numbers(kg(of.mass_g))}"
            f"<td>{self._statement(of.statement)} {self._rows(of.rows, MOST_LINKS)}"
            for n, of in enumerate(self._result.emissions)
        )
        return self._table(heads, rows, self._words("section.emissions"))

    def offsets(self) -> str:
        """Serials, and the hash of their document."""
        heads = ("registry", "project", "vintage", "serials", "each", "mass", "document")
        rows = "\n".join(
            f"<tr id=o{n}><th>{escape(of.offset.registry)}<td>{escape(of.offset.project)}<td>{of.offset.vintage}"
            f"<td>{of.offset.first}–{of.offset.last}{_numbers(str(of.each_kg), kg(of.mass_g))}"
            f"<td><code>{of.offset.document.hex()}</code>"
            for n, of in enumerate(self._result.offsets)
        )
        return self._table(heads, rows, self._words("section.offsets"))

    def statements(self) -> str:
        """Statements by the hash of their record."""
        heads = ("statement", "gateway", "plan", "period", "version", "complete", "id")
        rows = "\n".join(
            f"<tr id=s{n}><th>S{n + 1}<td>{escape(of.gateway)}<td>{escape(of.plan)}"
            f"<td>{day(of.from_ms, self._civil)} – {day(of.to_ms, self._civil)}<td>{of.version}"
            f"<td>{self._words('section.yes' if of.complete else 'section.no')}<td><code>{of.record.hex()}</code>"
            for n, of in enumerate(self._result.statements)
        )
        return self._table(heads, rows, self._words("section.statements"))

    def factors(self) -> str:
        """Factors as they were published."""
        heads = ("id", "kind", "value", "region", "vintage", "document", "confirmed")
        rows = "\n".join(
            f"<tr id=f{n}><th>F{n + 1} <code>{escape(of.id)}</code><td>{self._words(f'kind.{of.kind}')}"
            f"<td>{escape(of.value)} {escape(of.unit)}<td>{escape(of.region)}<td>{of.vintage}"
            f"<td>{escape(of.document)}<td>{self._words('section.yes' if of.confirmed else 'section.no')}"
            for n, of in enumerate(factors_of(self._result))
        )
        return self._table(heads, rows, self._words("section.factors"))

    def plain(self, heads: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
        """A table of ready cells: the first of a row names it, the others are numbers."""
        return self._table(heads, "\n".join(f"<tr><th>{name}{_numbers(*cells)}" for name, *cells in rows), label)

    def factor_link(self, factor: Factor) -> str:
        """A factor by its id, leading to its row."""
        return self._factor_link(factor.id)

    def cited(self, name: str) -> str:
        """The name of a statement (its hash) or a factor, leading to its row; any other name as it is."""
        statements = {statement.record.hex(): statement.record for statement in self._result.statements}
        if name in statements:
            return self._statement(statements[name])
        return self._factor_link(name) if name in self._factor else escape(name)

    def _factor_link(self, name: str) -> str:
        return f"<a href=#f{self._factor[name]}><code>{escape(name)}</code></a>"

    def _hour(self, n: int, of: Hour) -> str:
        amounts = "<td>".join(
            ("", kwh(of.load_milli), kwh(of.covered_milli), kwh(of.uncovered_milli), kwh(of.retired_milli),
             kg(of.location_g), kg(of.market_g))
        )  # fmt: skip
        certs = [
            f"<code>{base64url(one.cert)}</code> {one.part[0]}–{one.part[1]} ({kwh(one.covered_milli)} kWh"
            f"{self._rate(one.factor)})"
            for one in of.coverings[: self._certs_each]
        ]
        return (
            f"<tr id=h{n}><th>{civil(of.from_ms, self._civil):%d %H:%M}{amounts}<td>"
            f"{self._rows(of.rows, self._rows_each)}<td>{self._cut(certs, len(of.coverings))}"
        )

    def _rate(self, factor: str | None) -> str:
        return "" if factor is None else f", <a href=#f{self._factor[factor]}>F{self._factor[factor] + 1}</a>"

    def _month(self, n: int, of: Month) -> str:
        amounts = _numbers(
            kwh(of.load_milli), kwh(of.unallocated_milli), kwh(of.retired_milli), kwh(of.hourly.covered_milli),
            kwh(of.hourly.uncovered_milli), percent(of.hourly.covered_milli, of.load_milli), kg(of.location_g),
            kg(of.hourly.market_g),
        )  # fmt: skip
        return f"<tr id=m{n}><th><a href=#hm{n}>{month(of.from_ms, self._civil)}</a>{amounts}"

    def _matched(self, name: str, link: str, of: Matched) -> str:
        result = self._result
        amounts = _numbers(
            kwh(of.covered_milli), kwh(of.uncovered_milli), percent(of.covered_milli, result.load_milli),
            kg(result.location_g), kg(of.market_g),
        )  # fmt: skip
        return f"<tr><th><a href={link}>{self._words(f'match.{name}')}</a>{amounts}"

    def _statement(self, record: bytes) -> str:
        n = self._place[record]
        return f"<a href=#s{n}>S{n + 1}</a>"

    def _rows(self, rows: Sequence[RowRef], most: int) -> str:
        """By statement: the places of its rows."""
        lines, before = [], b""
        for row in rows[:most]:
            lines.append(str(row.place) if row.statement == before else f"{self._statement(row.statement)}:{row.place}")
            before = row.statement
        return self._cut(lines, len(rows))

    def _cut(self, lines: Sequence[str], count: int) -> str:
        more = [self._words("section.more", n=count - len(lines))] if count > len(lines) else []
        return ", ".join((*lines, *more))

    def _table(self, heads: Sequence[str], rows: str, label: str) -> str:
        named = "".join(f"<th>{self._words(f'head.{head}')}" for head in heads)
        return (
            f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}"><table><thead><tr>{named}'
            f"</thead><tbody>\n{rows}</tbody></table></div>"
        )

    def _links(self) -> Iterator[Iterator[Sequence[object]]]:
        yield (hour.rows for hour in self._result.hours)
        yield (hour.coverings for hour in self._result.hours)


def factors_of(result: Result) -> list[Factor]:
    """Every factor of a balance once."""
    return list({factor.id: factor for factor in (result.average, result.residual, *result.devices)}.values())


def _each(links: int, hours: int) -> int:
    """How many links an hour may have."""
    return links if links <= MOST_LINKS else max(1, MOST_LINKS // max(hours, 1))


def _numbers(*texts: str) -> str:
    return "".join(f"<td class=n>{text}" for text in texts)
