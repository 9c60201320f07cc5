"""SVG drawing of a record's path to the root of its batch, and on to the ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from markupsafe import Markup

from gateway.dashboard.pages.record import Joint, Way
from gateway.dashboard.shell.catalog import Words

WIDTH: Final = 360
ROW: Final = 46
BOX_W: Final = 116
BOX_H: Final = 24
CENTRE: Final = WIDTH / 2
SIDE: Final = 128
"""How far a sibling stands from the middle."""


def drawing(words: Words, way: Way) -> Markup:
    """The root above, the record below; on each level what it is put together with, on the side where that stands."""
    rows = len(way.joints)
    height = rows * ROW + BOX_H + 12
    label = words("record.drawing", levels=rows, index=way.index, size=way.size, root=way.root.hex()[:16])
    parts = Markup("").join(_levels(words, way, height))
    return Markup('<svg class="way" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, parts
    )


def _levels(words: Words, way: Way, height: int) -> Iterator[Markup]:
    y = height - BOX_H - 6.0
    yield from _box(CENTRE, y, words("record.leaf", n=way.index), way.leaf, "own")
    for n, joint in enumerate(way.joints):
        above = y - ROW
        last = n == len(way.joints) - 1
        yield from _joint(joint, y, above)
        yield from _box(CENTRE, above, words("record.root") if last else "", joint.node, "root" if last else "own")
        y = above


def _joint(joint: Joint, y: float, above: float) -> Iterator[Markup]:
    yield Markup('<path class="up" d="M{} {}V{}"/>').format(CENTRE, y, above + BOX_H)
    if joint.sibling is None:
        return
    x = CENTRE - SIDE if joint.left else CENTRE + SIDE
    inner = x + (BOX_W / 2 - 12 if joint.left else 12 - BOX_W / 2)
    middle = (y + above + BOX_H) / 2
    yield Markup('<path class="side" d="M{} {}V{}H{}"/>').format(inner, y, middle, CENTRE)
    yield from _box(x, y, "", joint.sibling, "sibling", BOX_W - 24)


def _box(x: float, y: float, name: str, digest: bytes, kind: str, width: float = BOX_W) -> Iterator[Markup]:
    text = f"{digest.hex()[:8]}…"
    yield Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="4"/>').format(
        kind, x - width / 2, y, width, BOX_H
    )
    yield Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        kind, x, y + 16, f"{name} {text}" if name else text
    )
