"""Report of a verdict over a folder, in words and as JSON. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from ledger_client.accounting.formats.civil_time import offset_text
from ledger_client.audit.report import audit_in_words
from ledger_client.inputs.listing import FACTOR, PROFILE, Effect, Input
from ledger_client.inputs.sheet import amount_text, document_text, sheet, values_text
from ledger_client.inputs.unusual import Unusual
from ledger_client.recompute.run import Recomputed
from ledger_client.recompute.sources import SignedPlan
from ledger_client.recompute.verdict import OfGateway, Verdict
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.explain import clean


def as_json(verdict: Verdict) -> dict[str, Any]:
    """One object: the answer with its reasons, and each gateway with its plans, statements and audit."""
    return {
        "answer": "YES" if verdict.yes else "NO",
        "why": [why._asdict() for why in verdict.why],
        "unusual": [_unusual_json(one.gateway, unusual) for one in verdict.gateways for unusual in one.unusual],
        "inputs": [_input_json(each) for one in verdict.gateways for each in one.inputs],
        "gateways": [
            *(_gateway_json(one) for one in verdict.gateways),
            *({"gateway": name, "given": False} for name in verdict.not_given),
        ],
        "files": {
            "rows": len(verdict.folder.rows),
            "documents": len(verdict.folder.documents),
            "proofs_of_readings": verdict.folder.of_readings,
        },
    }


def _unusual_json(gateway: str, one: Unusual) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "code": one.code,
        "of": one.of,
        "sentence": one.sentence,
        "reason": one.facts.get("reason"),
        "record": one.record.hex(),
    }


def _input_json(one: Input) -> dict[str, Any]:
    ledgers_s = one.signed.ledgers_s
    return {
        "gateway": one.gateway,
        "plan": one.plan,
        "kind": one.kind,
        "of": one.of,
        "from": rfc3339_ms(one.from_ms),
        "to": None if one.to_ms is None else rfc3339_ms(one.to_ms),
        "values": values_text(one),
        "changes": list(one.changes),
        "signed": rfc3339(one.signed.signed_s),
        "at_ledgers": None if ledgers_s is None else rfc3339(ledgers_s),
        "user": one.user,
        "reason": one.reason,
        "document": None if one.document is None else one.document.hex(),
        "document_file": one.file,
        "standing": one.standing,
        "effects": [_effect_json(effect) for effect in one.effects],
        "record": one.signed.record.hex(),
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    return {
        "statement": effect.statement.hex(),
        "node": effect.node,
        "total": None if effect.total is None else amount_text(effect.total),
        "without": None if effect.without is None else amount_text(effect.without),
    }


def _gateway_json(one: OfGateway) -> dict[str, Any]:
    return {
        "gateway": one.gateway,
        "given": True,
        "equal": one.result.equal,
        "plans": [_plan_json(record, signed) for record, signed in one.result.sources.plans.items()],
        "periods": [_period_json(period) for period in one.result.periods],
        "gaps": [gap._asdict() for gap in one.gaps],
        "audit": one.result.audit.as_json(),
    }


def _plan_json(record: bytes, signed: SignedPlan) -> dict[str, Any]:
    plan = signed.plan
    return {
        "record": record.hex(),
        "plan": plan.name,
        "version": plan.version,
        "from": plan.from_ms,
        "signed": signed.iat_ms,
        "civil": offset_text(plan.civil_min),
        "batch": signed.batch,
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
        "lacking": [lacking._asdict() for lacking in period.lacking],
        "rows_compared": period.rows_compared,
        "rows": period.rows,
        "totals": [[str(node), str(status), str(amount)] for node, status, amount in _totals(period)],
        "findings": dict(fields.get("findings", {})),
        "differences": [difference._asdict() for difference in period.differences],
    }


def as_sheet(verdict: Verdict) -> str:
    """All inputs for a spreadsheet."""
    codes: dict[bytes, list[str]] = {}
    for one in verdict.gateways:
        for unusual in one.unusual:
            codes.setdefault(unusual.record, []).append(unusual.code)
    return sheet([each for one in verdict.gateways for each in one.inputs], codes)


def in_words(verdict: Verdict) -> list[str]:
    """The answer first, then its reasons, then gateways, plans and statements, then what the audits found."""
    lines = [clean(answer(verdict))]
    for why in verdict.why:
        of, rule = f"{why.gateway}: " if why.gateway else "", f" ({why.rule})" if why.rule else ""
        lines.append(clean(f"  why            {of}{why.problem}{rule}; {why.fix}"))
    lines += [f"  gateway        {clean(line)}" for line in _gateways(verdict)]
    for one in verdict.gateways:
        lines += [f"  plan           {clean(line)}" for line in _plans(one)]
        for period in one.result.periods:
            lines += _period(period)
    for one in verdict.gateways:
        lines += [f"  unusual        {clean(f'{one.gateway}: {each.code}: {each.sentence}')}" for each in one.unusual]
        lines += [f"  input          {clean(f'{one.gateway}: {_input(each)}')}" for each in one.inputs]
    for one in verdict.gateways:
        lines += audit_in_words(one.result.audit)
    return lines


def _input(one: Input) -> str:
    to = f" to {rfc3339_ms(one.to_ms)}" if one.to_ms not in (None, one.from_ms) else ""
    parts = [f"{one.kind} {one.of}, from {rfc3339_ms(one.from_ms)}{to}"]
    if one.kind not in (PROFILE, FACTOR):
        parts += [one.standing, values_text(one), *one.changes, f"signed {rfc3339(one.signed.signed_s)}"]
    else:
        parts.append(f"in plan {one.plan}")
    if one.user is not None:
        parts.append(f"by {one.user}: {one.reason}")
        parts.append(f"document {document_text(one) or 'none'}")
    for effect in one.effects:
        parts.append(f"{effect.node} {amount_text(effect.total)}, without it {amount_text(effect.without)}")
    return "; ".join(part for part in parts if part)


def answer(verdict: Verdict) -> str:
    """The answer in a line."""
    if verdict.yes and verdict.unusual:
        return f"YES, with {_count(verdict.unusual, 'unusual input')}"
    if verdict.yes:
        return "YES"
    first, more = verdict.why[0], f" (and {len(verdict.why) - 1} more)" if len(verdict.why) > 1 else ""
    of = f"{first.gateway}: " if first.gateway else ""
    return f"NO: {of}{first.problem}{more}"


def _gateways(verdict: Verdict) -> Iterator[str]:
    for one in verdict.gateways:
        audit, spans = one.result.audit, [p.fields for p in one.result.periods if "from" in p.fields]
        stated = _count(len(one.result.periods), "statement")
        if spans:
            begin, end = min(of["from"] for of in spans), max(of["to"] for of in spans)
            stated += f" of {rfc3339_ms(begin)} to {rfc3339_ms(end)}"
        plans = _count(len({signed.plan.name for signed in one.result.sources.plans.values()}), "plan")
        records = f"{_count(sum(audit.kinds.values()), 'record')} in {len(audit.batches)} batches"
        yield f"{one.gateway}: {plans}, {stated}; {records}"
    for name in verdict.not_given:
        yield f"{name}: not given; the trust file knows it, and no file here is of it"


def _plans(one: OfGateway) -> Iterator[str]:
    for record, signed in one.result.sources.plans.items():
        plan = signed.plan
        times = f"from {rfc3339_ms(plan.from_ms)}, signed {rfc3339_ms(signed.iat_ms)}"
        yield f"{one.gateway} {plan.name}, version {plan.version}, {times}: {record.hex()}"


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'' if many == 1 else 's'}"


def _period(period: Recomputed) -> list[str]:
    fields = period.fields
    span = f"{_time(fields.get('from'))} to {_time(fields.get('to'))}, version {fields.get('version')}"
    lines = [f"  statement      {span}: {statement_state(period)}"]
    lines += [f"    {clean(node):<20} {clean(status):<12} {amount}" for node, status, amount in totals_of(period)]
    if fields and not fields["complete"]:
        reasons = "; ".join(why for lacking in period.lacking if (why := lacking.why))
        lines.append(clean(f"    not complete (T7, docs/accounting.md): {reasons or 'as stated'}"))
    if findings := fields.get("findings"):
        lines.append(f"    findings: {', '.join(f'{name} {count}' for name, count in findings.items())}")
    for rule, where, stated, recomputed in period.differences:
        lines.append(clean(f"    {rule} {where}: stated {stated or 'nothing'}, recomputed {recomputed}"))
    return lines


def _time(value: object) -> str:
    return rfc3339_ms(value) if type(value) is int else "?"


def statement_state(period: Recomputed) -> str:
    """Whether a statement comes out as it was signed."""
    if period.equal and not period.rows_compared:
        return "equal but for the root of its rows (no .mrows was given)"
    return "equal" if period.equal else "NOT EQUAL"


def totals_of(period: Recomputed) -> list[tuple[str, str, str]]:
    """Node, status and amount as they were stated; of missing references their number, since they have no amount."""
    found = [(str(node), str(status), str(amount)) for node, status, amount in _totals(period)]
    for lacking in period.lacking:
        if lacking.missing:
            found.append((lacking.node, "missing", f"{_count(lacking.missing, 'reference')}, no amount"))
    return found


def _totals(period: Recomputed) -> Sequence[tuple[str, str, Decimal]]:
    """Those that were stated."""
    return [(node, status, amount) for node, status, amount in period.fields.get("totals", ())]
