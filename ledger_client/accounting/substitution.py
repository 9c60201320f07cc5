"""Substitutes for missing reference periods: rows beside them, never over them (rules S1–S5, H6). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ledger_client.accounting.cems import mass, mean_of, representative
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import MICRO, MILLI, micro, milli_of, square_root
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.accounting.formats.units import CONCENTRATION, counter_unit
from ledger_client.accounting.formats.words import MANUAL, MISSING, PROVISIONAL, SUBSTITUTED

LONGEST_SILENCE: Final = 120
"""Hours in a row without a valid one, above which the authority is to be informed (H6)."""
MOST_BACK_MS: Final = 366 * 24 * HOUR_MS
"""How far back a substitute of CN-HJ75 may look for its 2,160 valid references (T5)."""
_SHORT_GAP: Final = 24
_HIGH, _LOW = Fraction(90, 100), Fraction(75, 100)


@dataclass(frozen=True, slots=True)
class Times:
    """The civil times that populations are of, in ms: the year and the quarter of a period, each with its end."""

    year: tuple[int, int]
    quarter: tuple[int, int]


def substitutes(
    plan: Plan,
    node: Node,
    rows: Sequence[Row],
    history: Sequence[Row],
    entries: Sequence[Entry],
    times: Times,
    to_ms: int,
) -> list[Row]:
    """Substitute rows for the missing ones of a node, of the profile's rule or by entry.

    Args:
        rows: those of the period, in order of time.
        history: the written rows of the node in earlier statements that this one uses.
        entries: those in force.
        to_ms: the end of the period.
    """
    missing = [row for row in rows if row.status == MISSING]
    if not missing:
        return []
    rule = _RULES.get(node.regime.substitution or "")
    found = rule(plan, node, rows, history, times, to_ms) if rule is not None else {}
    entered = {
        (entry.from_ms, entry.to_ms): entry for entry in entries if entry.kind == "value" and entry.of == node.name
    }
    substituted = []
    for row in missing:
        if row.from_ms in found:
            substituted.append(found[row.from_ms])
        elif (entry := entered.get((row.from_ms, row.to_ms))) is not None:
            amount = milli_of(entry.values["value"], counter_unit(entry.unit, "entry.unit").factor)
            marked = {key: row.facts[key] for key in ("retrospective",) if key in row.facts}
            substituted.append(row._replace(status=MANUAL, amount=amount, facts={"method": "entry", **marked}))
    return substituted


def _eu45(
    plan: Plan, node: Node, rows: Sequence[Row], history: Sequence[Row], times: Times, to_ms: int
) -> dict[int, Row]:
    """The concentration as its mean and twice its standard deviation over the civil year's valid periods (S2)."""
    point, (year, year_end) = node.inputs[CONCENTRATION], times.year
    valid = [row for row in (*history, *rows) if representative(row) and year <= row.from_ms < min(year_end, to_ms)]
    means = [mean for row in valid if (mean := mean_of(row, point)) is not None]
    if len(means) < 2:
        return {}
    mean, deviation = _mean_and_deviation(means)
    content = mean + 2 * deviation
    population = [year, min(year_end, to_ms), len(means), decimal(mean, MICRO), decimal(deviation, MICRO)]
    found = {}
    for row in rows:
        others = {letter: mean_of(row, name) for letter, name in node.inputs.items() if letter != CONCENTRATION}
        known = {letter: value for letter, value in others.items() if value is not None}
        if row.status == MISSING and len(known) == len(others) and mean_of(row, point) is None:
            amount = mass(plan, node, known | {CONCENTRATION: content}, row.to_ms - row.from_ms)
            if amount is None:
                continue
            found[row.from_ms] = _row(row, amount, "EU-45", population, provisional=to_ms < year_end)
    return found


def _mean_and_deviation(means: Sequence[int]) -> tuple[int, int]:
    """Of values in millionths, in millionths: both rounded once; the deviation with n − 1 (N2, N3)."""
    count, total = len(means), sum(means)
    variance = Fraction(sum((count * value - total) ** 2 for value in means), count * count * (count - 1))
    scale = 10**-MICRO
    return micro(Fraction(total, count * scale)), micro(square_root(variance / scale**2))


def _cn75(
    plan: Plan, node: Node, rows: Sequence[Row], history: Sequence[Row], times: Times, to_ms: int
) -> dict[int, Row]:
    """The highest mass of an hour among the last valid ones before a gap, by the quarter's capture (S4)."""
    quarter, quarter_end = times.quarter
    every = [*history, *rows]
    within = [row for row in every if quarter <= row.from_ms < min(quarter_end, to_ms)]
    valid, missing = sum(map(representative, within)), sum(row.status == MISSING for row in within)
    if not valid + missing:
        return {}
    capture = Fraction(valid, valid + missing)
    found: dict[int, Row] = {}
    for gap in _gaps(every):
        short = gap[-1].to_ms - gap[0].from_ms <= _SHORT_GAP * HOUR_MS
        needed = (180 if short else 720) if capture >= _HIGH else 2160
        before = [row for row in every if representative(row) and row.to_ms <= gap[0].from_ms][-needed:]
        if capture < _LOW or len(before) < needed:
            continue
        highest = max(row.amount or 0 for row in before)
        population = [before[0].from_ms, before[-1].to_ms, needed, decimal(highest, MILLI), decimal(0, MILLI)]
        for row in gap:
            found[row.from_ms] = _row(row, highest, "CN-HJ75", population, provisional=to_ms < quarter_end)
    return found


def _gaps(rows: Iterable[Row]) -> list[list[Row]]:
    """Missing periods, one behind the other; a standstill ends them."""
    gaps: list[list[Row]] = []
    for row in rows:
        if row.status != MISSING:
            continue
        if gaps and gaps[-1][-1].to_ms == row.from_ms:
            gaps[-1].append(row)
        else:
            gaps.append([row])
    return gaps


def _row(row: Row, amount: int, method: str, population: list[object], *, provisional: bool) -> Row:
    facts: dict[str, object] = {"method": method, "population": population}
    if provisional:
        facts["reason"] = PROVISIONAL
    if row.facts.get("retrospective"):
        facts["retrospective"] = True
    return row._replace(status=SUBSTITUTED, amount=amount, facts=facts)


def silences(rows: Sequence[Row], history: Sequence[Row]) -> int:
    """How many times no hour was valid for more than 120 in a row, in this period or into it (H6)."""
    begins_ms, most_ms = rows[0].from_ms if rows else 0, LONGEST_SILENCE * HOUR_MS
    since_ms, ended_ms, found = 0, 0, 0
    for row in [*history, *rows]:
        if row.status == MISSING:
            if row.from_ms != ended_ms:
                since_ms = row.from_ms
            ended_ms = row.to_ms
            if row.from_ms >= begins_ms and row.from_ms - since_ms <= most_ms < ended_ms - since_ms:
                found += 1
    return found


_Rule = Callable[[Plan, Node, Sequence[Row], Sequence[Row], Times, int], dict[int, Row]]
_RULES: Final[Mapping[str, _Rule]] = {"EU-45": _eu45, "CN-HJ75": _cn75}
