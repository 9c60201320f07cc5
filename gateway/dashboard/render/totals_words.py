"""Totals in words: figures with what they lack, and why."""

from __future__ import annotations

from markupsafe import Markup

from gateway.dashboard.pages.totals import Column, Lacking, kilo, mega
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.formats import Times
from gateway.local_calendar import local
from gateway.totals.flows import Flow, Lack


def total(words: Words, flow: Flow | None, unit: str, name: str = "") -> Markup:
    """A cell of the table: the figure, and of how many parts it is where some are missing. ``name``: of the flow, where
    the cell follows the live values."""
    if flow is None:
        return Markup('<span class="quiet">–</span>')
    amount = (kilo if unit == "kW" else mega)(flow.amount)
    live = Markup(' data-flow="{}"').format(name) if name else Markup("")
    figure = Markup("<b{}>{}</b>").format(live, formats.compared(amount))
    if flow.missing:
        of = words("totals.of", known=flow.known, of=flow.of)
        mark, kind = ("–", "missing") if flow.amount is None else ("≈", "uncertain")
        figure = Markup('<span class="q q-{}" data-mark="{}">{}</span><small>{}</small>').format(kind, mark, figure, of)
    elif flow.uncertain and flow.amount is not None:
        of = words("totals.uncertain", n=len(flow.uncertain))
        figure = Markup('<span class="q q-uncertain">{}</span><small>{}</small>').format(figure, of)
    if flow.computed:
        figure += Markup("<small>{}</small>").format(words("totals.computed"))
    return figure


def lacking(words: Words, one: Lacking, times: Times) -> str:
    """What a flow lacks: ``now, generation: 3 of 4 meters; pv-2 silent since 12:04``."""
    zoned = Times(times.now_ms, one.zone)
    missing = "; ".join(_lack(words, lack, zoned) for lack in one.flow.missing)
    when = words(f"totals.{one.when}")
    of = words("totals.of", known=one.flow.known, of=one.flow.of)
    return words("totals.lacking", when=when, flow=words(f"flow.{one.name}"), of=of, missing=missing)


def _lack(words: Words, lack: Lack, times: Times) -> str:
    why = words.of("lack", lack.why) if words.has("lack", lack.why) else words.of("hour-status", lack.why)
    if lack.since_ms is None:
        return words("totals.lack", of=lack.of, why=why)
    shown = local(lack.since_ms, times.tz)
    today = shown.date() == local(times.now_ms, times.tz).date()
    return words(
        "totals.lack-since", of=lack.of, why=why, since=f"{shown:%H:%M}" if today else f"{shown:%Y-%m-%d %H:%M}"
    )


def statuses_of(words: Words, column: Column) -> str:
    """The statuses of the rows of all periods of an account, in words."""
    found = dict.fromkeys(
        status for flows in column.periods.values() for flow in flows.values() for status, _ in flow.statuses
    )
    return ", ".join(words.of("hour-status", status) for status in found) or "–"
