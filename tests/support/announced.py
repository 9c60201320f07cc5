"""What a gateway has announced, counted again from its records alone, as an audit does (docs/decisions/032)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pycddl import Schema

from gateway.records import StoredRecord
from ledger_client.formats import cbor
from ledger_client.formats.record import Coverage, Event, Record, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import Grid, due_by
from ledger_client.recording_series import series_count

GATEWAY, START = "gateway", "start"
_DOCS = Path(__file__).parents[2] / "docs"
CDDL, ACCOUNTING = _DOCS / "evidence.cddl", _DOCS / "accounting.cddl"
_OF_ACCOUNTING = {"plan", "entry", "period"}
RULES = {
    **{
        name: name
        for name in (
            *_OF_ACCOUNTING,
            "alarm",
            "alarm-acknowledged",
            "clock",
            "commissioned",
            "configuration",
            "data-changed",
            "equivocation",
            "events-left-out",
            "keys",
            "meter-exchange",
            "ratio-changed",
            "ratio-differs",
            "recording-period",
            "repaired",
            "rollback",
            "schedule",
            "shared-cleared",
            "write-seen",
        )
    },
    START: "epoch-start",
    "stop": "epoch-stop",
    **dict.fromkeys(("alarm-shelved", "alarm-unshelved"), "alarm-acted"),
}
"""Every kind of event that a gateway writes, with its rule."""
_BEGINS = r"(repaired )*(configuration )+(keys )*(schedule )*(coverage )*start"


def check_announced(rows: Sequence[StoredRecord]) -> dict[str, list[Grid]]:
    """Every coverage record counts the polls that were due by the grids announced up to it, every key was announced,
    and every ``configuration`` is complete. Gives the grids of each meter."""
    grids: dict[str, list[Grid]] = defaultdict(list)
    keys, series, moments = set[bytes](), dict[str, bool](), defaultdict[str, list[int]](list)
    found: list[Record] = [parse_record(row.data) for row in rows]
    parts: list[Any] = []
    for record in found:
        body, who = record.body, record.claims.meter
        if isinstance(body, Event) and who == GATEWAY:
            for meter, its in body.fields.get("grids", {}).items():
                grids[meter] += [(begins, period) for begins, period in its]
            if body.name == "configuration":
                parts.append(body.fields)
                assert body.fields["part"] == [len(parts), parts[0]["part"][1]], record.id
                if len(parts) == parts[0]["part"][1]:
                    keys |= _take(parts, grids, series)
                    parts = []
            elif body.name == "keys":
                keys.add(body.fields["key"])
        assert not parts or who == GATEWAY, f"{record.id}: within a configuration"
        if isinstance(body, Reading) and not body.late:
            moments[who].append(body.time_ms)
        if isinstance(body, Coverage) and record.claims.clock != "U":  # nobody knows what was due before
            if series.get(who):
                due = series_due(grids[who], body, moments[who], whole=False)  # a grid may follow in its commit
            else:
                due = due_by(grids[who], body.from_ms, body.to_ms)
            assert body.due == due, f"{record.id}: due {body.due}, by what was announced {due}"
        if isinstance(body, Coverage):
            moments[who] = []
        assert who == GATEWAY or record.kid in keys, f"{record.id}: its key was never announced"
    return grids


@cache
def _schema(cddl: Path, rule: str) -> Schema:
    return Schema(f"start = {rule}\n{cddl.read_text()}")


def check_shapes(rows: Sequence[StoredRecord]) -> None:
    """Every event has the shape that docs/evidence.cddl publishes of its kind, and every epoch begins as it says; where
    a database was repaired, the epoch behind that does."""
    begins: dict[bytes, list[str]] = defaultdict(list)
    repaired = set[bytes]()
    for record in (parse_record(row.data) for row in rows):
        body, epoch = record.body, record.claims.epoch
        if isinstance(body, Event):
            check_shape(body)
        if START not in begins[epoch]:
            begins[epoch].append(body.name if isinstance(body, Event) else record.kind)
        if isinstance(body, Event) and body.name == "repaired":
            repaired.add(epoch)
    for epoch in repaired or begins:
        assert re.fullmatch(_BEGINS, " ".join(begins[epoch])), f"epoch {epoch.hex()} begins with {begins[epoch]}"


def check_shape(event: Event) -> None:
    """It has the shape that is published of its kind; of one that no gateway writes any will do."""
    cddl = ACCOUNTING if event.name in _OF_ACCOUNTING else CDDL
    data = cbor.encode({"event": event.name, **event.fields})
    _schema(cddl, RULES.get(event.name, "event")).validate_cbor(data)


def series_due(grids: Sequence[Grid], body: Coverage, moments_ms: Sequence[int], *, whole: bool = True) -> int:
    """What was due of a series with records of these times that are not LATE; by the ``whole`` of its grids it may end
    where it does."""
    count = series_count(grids, body.from_ms, moments_ms)
    may_end = count.ends(body.to_ms)
    assert may_end or not whole, f"{body}: the last moment is {count.last_ms}"
    return body.recorded + count.missed


def _take(parts: Sequence[dict[str, Any]], grids: dict[str, list[Grid]], series: dict[str, bool]) -> set[bytes]:
    """The keys of a configuration that is complete, whose grids are added, and which meters are series."""
    meters: dict[str, Any] = {}
    for part in parts:
        assert not meters.keys() & part["meters"].keys()
        meters |= part["meters"]
    for meter, its in meters.items():
        grids[meter] += [(begins, period) for begins, period in its["grids"]]
        assert its["grids"], meter
        series[meter] = its.get("series", False)
    return {parts[0]["statement"], *(its["key"] for its in meters.values())}
