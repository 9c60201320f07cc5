"""Sums and uncertainties by programs that are not ours: duckdb over CSV files, and ``uncertainties``."""

from __future__ import annotations

import csv
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from uncertainties import ufloat

from ledger_client.formats import cbor
from ledger_client.formats.record import Coverage, Reading, Value
from tests.oracle.basics import Period, Signed
from tests.oracle.comparison import Compared, compare
from tests.oracle.histories import T0, History, history

HOUR = 3_600_000
SUMS = """
    SELECT node, status, sum(amount::DECIMAL(38, 3)) FROM read_csv(?, all_varchar = true)
    WHERE amount IS NOT NULL GROUP BY node, status ORDER BY node, status
"""
HOURS = """
    SELECT begins, last - first FROM (
        SELECT e.h AS begins,
            max(CASE WHEN l.time = e.h THEN l.wh END) AS first,
            max(CASE WHEN l.time = e.h + 3600000 THEN l.wh END) AS last
        FROM generate_series(?, ?, 3600000) AS e(h) JOIN (SELECT time::BIGINT AS time, wh::DECIMAL(38, 3) AS wh
            FROM read_csv(?, all_varchar = true)) AS l ON l.time IN (e.h, e.h + 3600000) GROUP BY e.h
    ) ORDER BY begins
"""


def written(path: Path, header: tuple[str, ...], lines: list[tuple[Any, ...]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return str(path)


def rows_of(found: Compared) -> list[Any]:
    return [cbor.decode(row) for row in found.rows]


@pytest.mark.parametrize("seed", range(12))
def test_duckdb_adds_to_the_same_totals(seed: int, tmp_path: Path) -> None:
    made = history(Random(seed))
    made.plan["disclosure"] = "full"
    found = compare(made)
    lines = [tuple(row[:5]) for row in rows_of(found)]
    path = written(tmp_path / "hours.csv", ("node", "from", "to", "status", "amount"), lines)
    totals = sorted(tuple(t) for t in cbor.decode(found.payload)["totals"] if t[1] != "u")
    assert sorted(duckdb.execute(SUMS, [path]).fetchall()) == totals


def test_duckdb_finds_the_same_hours(tmp_path: Path) -> None:
    """Registers on the edges themselves: no interpolation, an hour is a difference."""
    chance, number, looks = Random(7), 1000, []
    for at in range(T0, T0 + 26 * HOUR, HOUR // 4):
        looks.append((at, number))
        number += chance.randint(0, 99_999)
    point = {"kind": "counter", "unit": "Wh", "sample": HOUR // 4, "max": 10**6}
    made = simple({"m/energy": point}, {"site": [[1, "m/energy"]]}, {"m": looks}, 24)
    path = written(tmp_path / "looks.csv", ("time", "wh"), looks)
    hours = duckdb.execute(HOURS, [T0, T0 + 23 * HOUR, path]).fetchall()
    assert hours == [(row[1], row[4]) for row in rows_of(compare(made))]


@pytest.mark.parametrize("seed", range(20))
def test_uncertainties_finds_the_same_uncertainty(seed: int) -> None:
    chance = Random(seed)
    shares = [Decimal(chance.randint(1, 300)).scaleb(-4) for _ in range(3)]
    signs = [1, chance.choice((1, -1)), 1]
    points, looks, parts = {}, {}, []
    for n, (share, sign) in enumerate(zip(shares, signs, strict=True)):
        gains = [chance.randint(1, 5000) for _ in range(4)]
        points[f"m{n}/energy"] = {
            "kind": "counter", "unit": "Wh", "sample": HOUR, "max": 10**6, "u": share, "u_source": "certificate",
        }  # fmt: skip
        looks[f"m{n}"] = [(T0 + k * HOUR, sum(gains[:k])) for k in range(5)] + [(T0 + 6 * HOUR, sum(gains))]
        energy = sum(gains)
        parts.append(sign * ufloat(energy, energy * float(share)))
    terms = [[sign, point] for sign, point in zip(signs, points, strict=True)]
    payload = cbor.decode(compare(simple(points, {"site": terms}, looks, 4)).payload)
    (ours,) = [Fraction(value) for _, status, value in payload["totals"] if status == "u"]
    independent = sum(parts)
    foreign = independent.std_dev / abs(independent.nominal_value)
    assert foreign - 1e-9 <= float(ours) <= foreign + 1.000001e-6


def simple(
    points: dict[str, Any], nodes: dict[str, Any], looks: dict[str, list[tuple[int, int]]], hours: int
) -> History:
    """Meters with a few looks each; nodes by their terms."""

    records: list[Signed] = []
    for meter, of_meter in looks.items():
        for n, (at, number) in enumerate(of_meter):
            value = Value("energy", number, "Wh")
            records.append(Signed(meter, "S", Reading(at, (value,)), meter.encode().ljust(24) + n.to_bytes(8, "big")))
        records.append(Signed(meter, "S", Coverage(T0, T0 + 100 * HOUR, 1, 1, {}), b"c" * 32))
    plan = {
        "plan": "main", "v": 1, "rules": "accounting-1", "from": T0, "interval": 3600, "civil": 0, "points": points,
        "nodes": {name: {"role": "consumption", "profile": "p", "terms": terms} for name, terms in nodes.items()},
        "profiles": {"p": {"version": "1", "edge": Decimal("0.01"), "accept": []}}, "factors": [], "site": {},
        "disclosure": "full",
    }  # fmt: skip
    period = Period(b"P" * 32, T0, T0, T0 + hours * HOUR, ((0, b"a" * 32), (1, b"b" * 32)))
    return History(plan, records, period)
