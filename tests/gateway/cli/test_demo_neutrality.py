"""`meterseal demo --neutrality`: eight hours from registers to retired certificates, and the books of every Wh."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.cli.demo.certified_books import certified_books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import parse_row
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields


def test_hours_are_certified_used_once_and_no_wh_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "demo",
        "--neutrality",
        "--for",
        "8h",
        "--json",
        "--dir",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"]
    assert found["i8"]
    assert found["verified"]
    assert found["issued"] == 8
    books = found["books"]
    assert books.pop("closed")
    assert books.pop("node") == "hydro"
    wh = {name: Decimal(amount) for name, amount in books.items()}
    hydro = [Decimal(one["amount"]) for one in found["statements"][-1]["nodes"] if one["node"] == "hydro"]
    assert wh["produced"] == sum(hydro)
    assert wh["produced"] == wh["certified"] + wh["rounded_off"] + wh["not_certifiable"] + wh["unallocated"]
    assert wh["certified"] == wh["held"] + wh["retired"] + wh["exported"] + wh["withdrawn"]
    assert 0 < wh["rounded_off"] < 8
    assert all(wh[what] > 0 for what in ("held", "retired", "exported", "withdrawn"))
    balance = found["balance"]
    assert Path(balance["files"][-1]).read_text().startswith("<!doctype html>")
    totals = {what: Decimal(balance["totals"][what]) for what in ("load_wh", "covered_wh", "retired_wh")}
    assert totals["retired_wh"] == wh["retired"]  # of all hours, not of some
    assert totals["load_wh"] / 2 < totals["covered_wh"] <= totals["retired_wh"]
    assert not balance["neutralised"]
    verify = [sys.executable, "-m", "ledger_client.cli", "certificate", "verify", found["certificate_file"]]
    again = subprocess.run([*verify, "--trust", found["market"]], capture_output=True)
    assert again.returncode == 0, again.stdout


UNITS = 90_000


def certificate(place: int, from_ms: int, units: int = UNITS, *, used: int = 0) -> dict[str, Any]:
    """A quarter's, of which the first units are retired."""
    begin_ms = from_ms + place * QUARTER_MS
    parts = [(0, used, "retired"), (used, units, "held")]
    slices = [{"from": a, "to": b, "status": status} for a, b, status in parts if a < b]
    return {"from": begin_ms, "to": begin_ms + QUARTER_MS, "units": units, "slices": slices}


def test_books_do_not_close_where_a_wh_is_lost_or_an_hour_is_certified_twice(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms, to_ms = site.from_ms, site.from_ms + 3 * QUARTER_MS
    site.publish(fields := plan_fields(from_ms))
    site.polls(400)
    site.seal()
    statement, _ = site.state(from_ms, to_ms, (0, 0))
    plan, rows = parse_plan(fields), [parse_row(row) for row in statement.rows]
    amounts = [row.amount for row in rows]
    assert amounts == [UNITS * 1000] * 3
    shown = [certificate(0, from_ms, used=10), certificate(1, from_ms, UNITS - 1)]
    books = certified_books(plan, "station", rows, shown)
    assert books.closed
    assert (books.produced, books.certified) == (3 * UNITS * 1000, (2 * UNITS - 1) * 1000)
    assert (books.rounded_off, books.not_certifiable, books.retired) == (1000, UNITS * 1000, 10_000)
    twice = [*shown, certificate(0, from_ms)]
    elsewhere = [*shown, certificate(7, from_ms)]
    lost = [shown[0] | {"slices": shown[0]["slices"][1:]}, shown[1]]
    for others in (twice, elsewhere, lost):
        assert not certified_books(plan, "station", rows, others).closed
    assert not certified_books(plan, "station", [rows[0], rows[2]], shown).closed
    assert not replace(books, held=books.held + 1).closed
