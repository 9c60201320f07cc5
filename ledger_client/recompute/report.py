"""Report of a recomputation, in words and as JSON. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ledger_client.audit.report import audit_in_words
from ledger_client.recompute.run import Recomputed, Result
from ledger_client.times import rfc3339_ms
from ledger_client.verification.explain import clean


def as_json(result: Result) -> dict[str, Any]:
    """One object: the audit, and each statement with its differences."""
    return {
        "equal": result.equal,
        "periods": [_period_json(period) for period in result.periods],
        "audit": result.audit.as_json(),
    }


def _period_json(period: Recomputed) -> dict[str, Any]:
    fields = period.fields
    return {
        "record": period.record.hex(),
        "equal": period.equal,
        "from": fields.get("from"),
        "to": fields.get("to"),
        "version": fields.get("version"),
        "complete": fields.get("complete"),
        "rows_compared": period.rows_compared,
        "rows": period.rows,
        "totals": [[str(node), str(status), str(amount)] for node, status, amount in _totals(period)],
        "findings": dict(fields.get("findings", {})),
        "differences": [difference._asdict() for difference in period.differences],
    }


def in_words(result: Result) -> list[str]:
    """The verdict first, then each statement, then what the audit found."""
    equal = sum(period.equal for period in result.periods)
    if not result.periods:
        lines = ["NOTHING TO RECOMPUTE: the files hold no statement; give the batch that it stands in, or its .mseal"]
    elif result.equal:
        lines = [f"EQUAL: {_count(equal)} recomputed from {sum(result.audit.kinds.values())} records"]
    else:
        few = len(result.periods) - equal
        why = f"{_count(few)} of {len(result.periods)} differ" if few else "the audit of the batches is not sound"
        lines = [f"NOT EQUAL: {why}"]
    for period in result.periods:
        lines += _period(period)
    return [*lines, *audit_in_words(result.audit)]


def _count(statements: int) -> str:
    return f"{statements} statement{'' if statements == 1 else 's'}"


def _period(period: Recomputed) -> list[str]:
    fields = period.fields
    span = f"{_time(fields.get('from'))} to {_time(fields.get('to'))}, version {fields.get('version')}"
    state = "equal" if period.equal else "NOT EQUAL"
    if period.equal and not period.rows_compared:
        state = "equal but for the root of its rows (no .mrows was given)"
    lines = [f"  statement      {span}: {state}{'' if fields.get('complete') else '; not complete'}"]
    lines += [f"    {clean(str(node)):<20} {status:<12} {amount}" for node, status, amount in _totals(period)]
    if findings := fields.get("findings"):
        lines.append(f"    findings: {', '.join(f'{name} {count}' for name, count in findings.items())}")
    for rule, where, stated, recomputed in period.differences:
        lines.append(clean(f"    {rule} {where}: stated {stated or 'nothing'}, recomputed {recomputed}"))
    return lines


def _time(value: object) -> str:
    return rfc3339_ms(value) if type(value) is int else "?"


def _totals(period: Recomputed) -> Sequence[tuple[str, str, Decimal]]:
    """Those that were stated."""
    return [(node, status, amount) for node, status, amount in period.fields.get("totals", ())]
