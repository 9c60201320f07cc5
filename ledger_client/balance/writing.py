"""Balances as JSON, and their hours as CSV; decimals are text, exactly as they are written. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ledger_client.accounting.formats.civil_time import civil_text, offset_text, utc_text
from ledger_client.accounting.formats.factor import Factor
from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.tables.stated import Cell, Table, written
from ledger_client.accounting.tables.writing import as_csv
from ledger_client.balance.citing import slices_tree, totals
from ledger_client.balance.result import Covering, Matched, Month, Result, RowRef, StatedOffset, Statement

FORMAT: Final = "meterseal-balance-1"
BEGINNING: Final = b'{\n "format": "meterseal-balance-'
"""What the JSON of any balance begins with."""
HEADER: Final = (
    "from", "to", "civil_from", "kind", "load_wh", "retired_wh", "covered_wh", "uncovered_wh", "location_kg",
    "market_kg", "certificates", "rows",
)  # fmt: skip
HOUR, UNALLOCATED = "hour", "unallocated"


def hours(result: Result) -> Table:
    """A line for each hour, then one for each stretch of unallocated load."""
    lines = list[tuple[Cell, ...]]()
    for hour in result.hours:
        lines.append(
            (
                *_times(result, hour.from_ms, hour.from_ms + HOUR_MS), HOUR, written(hour.load_milli),
                written(hour.retired_milli), written(hour.covered_milli), written(hour.uncovered_milli),
                written(hour.location_g), written(hour.market_g), _certificates(hour.coverings), _rows(hour.rows),
            )
        )  # fmt: skip
    for stretch in result.stretches:
        load = written(stretch.load_milli)
        lines.append(
            (
                *_times(result, stretch.from_ms, stretch.to_ms), UNALLOCATED, load, written(0), written(0), load,
                written(stretch.location_g), written(stretch.market_g), None, _rows([stretch.row]),
            )
        )  # fmt: skip
    return Table(HEADER, lines)


def hours_csv(result: Result) -> bytes:
    """``hours`` as CSV (RFC 4180)."""
    return as_csv(hours(result))


def as_json(result: Result) -> bytes:
    """The whole balance: terms, figures, months, hours as in the CSV, and all that it cites."""
    table, tree = hours(result), slices_tree(result)
    plain: dict[str, Any] = {
        "format": FORMAT,
        "party": result.party,
        "from": utc_text(result.from_ms),
        "to": utc_text(result.to_ms),
        "civil": offset_text(result.civil_min),
        "zone": result.zone,
        "deliverable": list(result.deliverable),
        "boundary": result.boundary,
        "exclusions": list(result.exclusions),
        "neutralised": result.neutralised,
        "attested": attested(result),
        "findings": [finding._asdict() for finding in result.findings],
        "totals": {key: f"{total:f}" for key, total in totals(result).items()},
        "matching": {
            "hourly": _matched(result.hourly), "monthly": _matched(result.monthly), "yearly": _matched(result.yearly),
        },
        "waterfall": [{"step": step, "kg": written(mass)} for step, mass in result.waterfall],
        "months": [_month(month) for month in result.months],
        "factors": [
            _factor("average", result.average), _factor("residual", result.residual),
            *(_factor("device", factor) for factor in result.devices),
        ],
        "emissions": [
            {
                "gateway": one.gateway, "node": one.node, "statement": one.statement.hex(), "kg": written(one.mass_g),
                "rows": [row.place for row in one.rows],
            }
            for one in result.emissions
        ],
        "offsets": [_offset(one) for one in result.offsets],
        "base": None if result.base is None else {
            "from": utc_text(result.base.from_ms), "to": utc_text(result.base.to_ms),
            "kg": written(result.base.mass_g), "document": result.base.document.hex(),
        },
        "statements": [_statement(one) for one in result.statements],
        "slices": {"size": tree.size, "root": tree.root.hex(), "of": [[c.hex(), a, b] for c, a, b in result.slices]},
        "hours": [dict(zip(table.header, line, strict=True)) for line in table.lines],
    }  # fmt: skip
    return (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode()


def attested(result: Result) -> dict[str, Any] | None:
    """Who attests the balance, and how many it needs (B7); None: it is shown without a review."""
    if (review := result.review) is None:
        return None
    return {
        "by": [{"verifier": name, "level": level} for name, level in review.attested],
        "others": [{"verifier": name, "verdict": verdict} for name, verdict in review.others],
        "needed": review.needed,
    }


def _times(result: Result, from_ms: int, to_ms: int) -> tuple[str, str, str]:
    return utc_text(from_ms), utc_text(to_ms), civil_text(from_ms, result.civil_min)


def _certificates(coverings: Sequence[Covering]) -> str | None:
    """Each slice as ID:A-B."""
    return " ".join(f"{one.cert.hex()}:{one.part[0]}-{one.part[1]}" for one in coverings) or None


def _rows(rows: Sequence[RowRef]) -> str:
    """Each as STATEMENT#PLACE."""
    return " ".join(f"{row.statement.hex()}#{row.place}" for row in rows)


def _matched(matched: Matched) -> dict[str, Any]:
    return {
        "covered_wh": written(matched.covered_milli), "uncovered_wh": written(matched.uncovered_milli),
        "market_kg": written(matched.market_g),
    }  # fmt: skip


def _month(month: Month) -> dict[str, Any]:
    return {
        "from": utc_text(month.from_ms), "to": utc_text(month.to_ms), "load_wh": written(month.load_milli),
        "unallocated_wh": written(month.unallocated_milli), "retired_wh": written(month.retired_milli),
        "location_kg": written(month.location_g), "hourly": _matched(month.hourly),
        "monthly": _matched(month.monthly),
    }  # fmt: skip


def _factor(use: str, factor: Factor) -> dict[str, Any]:
    return {
        "use": use, "id": factor.id, "series": factor.series, "value": factor.value, "unit": factor.unit,
        "region": factor.region, "vintage": factor.vintage, "published": factor.published,
        "document": factor.document, "confirmed": factor.confirmed,
    }  # fmt: skip


def _offset(stated: StatedOffset) -> dict[str, Any]:
    offset = stated.offset
    return {
        "registry": offset.registry, "project": offset.project, "vintage": offset.vintage, "first": offset.first,
        "last": offset.last, "each_kg": stated.each_kg, "kg": written(stated.mass_g),
        "document": offset.document.hex(),
    }  # fmt: skip


def _statement(one: Statement) -> dict[str, Any]:
    return {
        "gateway": one.gateway, "plan": one.plan, "record": one.record.hex(), "from": utc_text(one.from_ms),
        "to": utc_text(one.to_ms), "version": one.version, "complete": one.complete,
    }  # fmt: skip
