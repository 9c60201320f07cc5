"""The order of a site's meters, and which of them a filter shows: nothing but rows is hidden, and it is said."""

from __future__ import annotations

import pytest

from gateway.dashboard.pages.meter_list import MeterState, meter_list
from gateway.dashboard.pages.overview import LineRow, MeterRow
from gateway.dashboard.pages.values import Beyond
from gateway.standing import Standing


def row(
    name: str, standing: Standing = Standing.WELL, label: str = "", role: str = "auxiliary", **more: object
) -> MeterRow:
    return MeterRow(name, label, role, 1000, standing=standing, **{"verdict": "good"} | more)  # type: ignore[arg-type]


LINES = [
    LineRow(
        name, "modbus-tcp", "10.0.0.1", up=True, load=None, faults={}, silent=(), meters=meters
    )
    for name, meters in {
        "hall": (
            row("pv-1", label="Dach Süd", role="generation"),
            row("pv-2", Standing.SILENT, "Dach Nord", "generation"),
            row("pv-3", Standing.ASLEEP, role="generation"),
        ),
        "yard": (
            row("grid", verdict="uncertain"),
            row("pump", beyond=(Beyond("p", True, 1, "W"),)),
            row("new", Standing.STARTING),
        ),
        "gate": (row("lamp", Standing.SILENT, "ＬＡＭＰ　1"),),
    }.items()
]  # fmt: skip


def shown(**query: str) -> list[str]:
    return [one.meter.name for block in meter_list(LINES, query).blocks for one in block.rows if one.shown]


def test_the_silent_ones_are_first_and_the_others_line_by_line() -> None:
    found = meter_list(LINES, {})
    assert [block.line and block.line.name for block in found.blocks] == [None, "hall", "yard", "gate"]
    assert shown() == ["pv-2", "lamp", "pv-1", "pv-3", "grid", "pump", "new"]
    assert [block.shown for block in found.blocks] == [True] * 4, "a line whose meters are all silent keeps its head"
    assert (found.all, found.shown, found.silent_hidden, found.roles) == (7, 7, 0, ["auxiliary", "generation"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"find": "DACH süd"}, ["pv-1"]),
        ({"find": "süd dach pv"}, ["pv-1"]),
        ({"find": "hall"}, ["pv-2", "pv-1", "pv-3"]),
        ({"find": "lamp 1"}, ["lamp"]),
        ({"find": "\uff30\uff36-1"}, ["pv-1"]),
        ({"find": "<script>"}, []),
        ({"find": "   "}, ["pv-2", "lamp", "pv-1", "pv-3", "grid", "pump", "new"]),
        ({"state": "doubtful"}, ["grid", "pump"]),
        ({"state": "silent", "line": "gate"}, ["lamp"]),
        ({"role": "generation", "state": "asleep"}, ["pv-3"]),
        ({"line": "yard"}, ["grid", "pump", "new"]),
        ({"line": "of yesterday", "role": "none", "state": "SILENT", "find": "pump"}, ["pump"]),
        ({"find": "a" * 100_000}, []),
    ],
)
def test_a_filter_shows_what_was_asked_for(query: dict[str, str], names: list[str]) -> None:
    assert shown(**query) == names
    found = meter_list(LINES, query)
    assert found.shown == len(names)
    assert found.silent_hidden == sum(name not in names for name in ("pv-2", "lamp"))
    heads = [block.line.name for block in found.blocks if block.line and block.shown]
    for block in found.blocks[1:]:
        assert block.line is not None
        kept = any(one.shown for one in block.rows) or query.get("line") == block.line.name or not found.filter
        assert (block.line.name in heads) == kept


def test_each_standing_has_a_state() -> None:
    assert {one.state for block in meter_list(LINES, {}).blocks for one in block.rows} == set(MeterState)
