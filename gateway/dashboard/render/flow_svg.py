"""SVG picture of a site's flows now: generation, grid, storage and consumption around one bus bar.

Powers in kW with their direction as an arrow; what is not known is a dash on a broken line, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from markupsafe import Markup

from gateway.dashboard.pages.totals import SiteTotals, kilo
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.catalog import Words
from gateway.totals.flows import Flow
from gateway.totals.sources import COUNTS

WIDTH: Final = 340
BOX_W: Final = 150
BOX_H: Final = 58
BAR_Y: Final = 96
HEIGHT: Final = 192
_PLACES: Final = {"generation": (84, 4), "grid": (256, 4), "storage": (84, 130), "consumption": (256, 130)}
"""The middle of each box and its upper edge."""
_OUT: Final = ("export", "charge", "consumption")
"""Flows that leave the bus bar."""


def picture(words: Words, totals: SiteTotals) -> Markup:
    """The picture, with all of its figures in the words beside it."""
    parts = Markup("").join(_parts(words, totals))
    label = words("totals.picture", of=", ".join(_text(words, name, flow) for name, flow in totals.power.items()))
    return Markup('<svg class="flows" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, parts
    )


def _text(words: Words, name: str, flow: Flow) -> str:
    return (
        f"{words(f'flow.{name}')} {_digits(flow)} kW"
        if flow.amount is not None
        else words("totals.not-known", flow=words(f"flow.{name}"))
    )


def _parts(words: Words, totals: SiteTotals) -> Iterator[Markup]:
    yield Markup('<path class="bus" d="M20 {}H{}"/>').format(BAR_Y, WIDTH - 20)
    for role in _PLACES:
        names = [name for name in totals.nodes.get(role, ()) if name in COUNTS[role]]
        if names:
            yield from _node(words, role, names, totals)


def _node(words: Words, role: str, names: Sequence[str], totals: SiteTotals) -> Iterator[Markup]:
    x, top = _PLACES[role]
    above = top < BAR_Y
    edge = top + BOX_H if above else top
    shown = [name for name in names if _moves(totals.power[name])] or list(names[:1])
    for place, name in enumerate(shown):
        flow, at = totals.power[name], x + 14 * (2 * place - len(shown) + 1)
        begin, end = (BAR_Y, edge) if name in _OUT else (edge, BAR_Y)
        state = (
            "unknown" if flow.amount is None else "still" if not flow.amount else "part" if flow.missing else "moves"
        )
        yield Markup('<path class="way {}" d="M{} {}V{}"/>').format(state, at, begin, end)
        if state in ("moves", "part"):
            middle, tip = (begin + end) / 2, 5 if end > begin else -5
            yield Markup('<path class="tip" d="M{} {}L{} {}L{} {}Z"/>').format(
                at - 5, middle - tip / 2, at + 5, middle - tip / 2, at, middle + tip
            )
    yield Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="5"/>').format(x - BOX_W / 2, top, BOX_W, BOX_H)
    yield Markup('<text class="role" x="{}" y="{}">{}</text>').format(x, top + 17, words(f"role.{role}"))
    many = len(names) > 1
    for place, name in enumerate(names):
        flow, y = totals.power[name], top + (33 + 16 * place if many else 42)
        word = words(f"flow-short.{name}") if many else ""
        mark = " …" if flow.missing and flow.amount is not None else ""
        yield Markup('<text class="{}" x="{}" y="{}">{}<tspan data-flow="{}">{}</tspan> kW{}</text>').format(
            "two" if many else "one", x, y, f"{word} " if word else "", name, _digits(flow), mark
        )


def _moves(flow: Flow) -> bool:
    return flow.amount is None or bool(flow.amount)


def _digits(flow: Flow) -> str:
    return formats.compared(kilo(flow.amount))
