"""View of `meterseal demo`: live table of meters and batches, and the final summary. Text only."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from gateway.status.readings import ReadingValue
from gateway.status.status import Status

SHOWN_POINTS = 6


def view(status: Status, values: Sequence[ReadingValue], left_s: float | None) -> RenderableType:
    """The live view: each meter with its last values and quality, then records, batches and receipts."""
    table = Table("meter", "point", "value", "unit", "quality", title=f"gateway {status.gateway}", min_width=72)
    for meter in status.meters:
        mine = [v for v in values if v.meter == meter.name]
        for i, v in enumerate(sorted(mine, key=_interest)[:SHOWN_POINTS]):
            name = "" if i else f"{meter.name} ({meter.age_s} s ago)"
            table.add_row(name, v.value.name, v.text, v.value.unit or "", v.quality)
        if len(mine) > SHOWN_POINTS:
            table.add_row("", f"… and {len(mine) - SHOWN_POINTS} more", "", "", meter.verdict)
        table.add_section()
    ledgers = ", ".join(f"{x.name}: {x.settled} anchored, {x.waiting} pending" for x in status.ledgers)
    totals = status.totals
    line = f"{totals.records} records · {totals.batches} batches · {totals.receipts} receipts · {ledgers}"
    ends = f"ends in {left_s:.0f} s" if left_s is not None else "Ctrl-C ends it"
    return Group(table, line, ends)


def _interest(value: ReadingValue) -> tuple[int, str]:
    """Totals and energies before phases: what a passer-by wants to see first."""
    name = value.value.name
    wanted = ("active_power_total", "active_power", "energy_export", "energy_import", "co2", "temperature", "frequency")
    return (wanted.index(name) if name in wanted else len(wanted), "" if name in wanted else name)


def summary_text(summary: dict[str, Any]) -> str:
    """The summary for people, with the commands to go on with."""
    lines = [
        f"{summary['due']} polls were due: {summary['readings']} readings signed and stored, "
        f"{summary['missed']} counted as missed, "
        f"{summary['lost']} lost",
        f"{summary['records']} records in {summary['batches']} batches, {summary['receipts']} receipts from the ledger",
    ]
    for proof in summary["proofs"]:
        if proof["verified"]:
            lines.append(
                f"verified: {proof['record']} ({proof['values']} values), batch {proof['batch']} → {proof['bundle']}"
            )
        else:
            lines.append(f"NOT verified: {proof['meter']}: {proof['error']}")
    bin_ = "" if shutil.which("meterseal") else f"{Path(sys.executable).parent}/"
    lines += [
        "",
        f"show:    {bin_}meterseal readings {summary['config']}",
        f"verify:  {bin_}meterseal-ledger verify {summary['bundle']} --trust {summary['trust']}",
    ]
    return "\n".join(lines)
