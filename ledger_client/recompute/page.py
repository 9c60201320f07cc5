"""Page of a verdict for a regulator: one HTML file that needs nothing but itself, and no script. Pure.

Its own policy forbids it every network and script. All text of plans, entries and files is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.inputs.listing import Effect, Input
from ledger_client.inputs.sheet import amount_text, document_text
from ledger_client.inputs.unusual import Unusual
from ledger_client.recompute.report import answer, statement_state, totals_of
from ledger_client.recompute.verdict import OfGateway, Verdict, named
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.explain import clean

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light dark; --edge: #8a949d; --quiet: #55616c; --good: #17693a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --quiet: #9eabb6; --good: #67c78b; --bad: #ff8f86; } }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; font: 15px/1.45 system-ui, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 1.5rem; } h3 { font-size: 1rem; }
.verdict { border: 3px solid; padding: 0.5rem 1rem; } .yes { border-color: var(--good); }
.no { border-color: var(--bad); border-style: dashed; }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: start; vertical-align: top; padding: 0.25rem 0.5rem; border-top: 1px solid var(--edge);
  overflow-wrap: break-word; }
thead th { white-space: nowrap; } thead { display: table-header-group; } .n { text-align: end; white-space: nowrap; }
code { font-size: 0.85em; word-break: break-all; }
tr.unusual > :first-child { border-inline-start: 4px solid var(--bad); }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  tr, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; } a { color: inherit; } }
"""


def page(verdict: Verdict, now: int) -> str:
    """The whole file; ``now``: when it was judged (Unix s)."""
    return "".join(_parts(verdict, now))


def _parts(verdict: Verdict, now: int) -> Iterator[str]:
    headline = _text(answer(verdict))
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{headline}</title><style>{_STYLE}</style></head><body><main>"
    kind = "yes" if verdict.yes else "no"
    short = "NO" if verdict.why else answer(verdict)
    yield f'<header class="verdict {kind}"><h1>{_text(short)}</h1>'
    yield f'<p class="quiet">Recomputed at {rfc3339(now)} from {_files(verdict)}.</p></header>'
    if verdict.why:
        rows = [[w.gateway or "", w.rule or "", w.problem, w.fix] for w in verdict.why]
        yield f"<h2>Why not</h2>{_table(('gateway', 'rule', 'problem', 'what to do'), rows)}"
    yield "<h2>Unusual inputs</h2>"
    yield (
        '<p class="quiet">Unusual is not wrong: each is within the rules, and also makes figures prettier. Look at it, '
        "and ask for the reason (docs/accounting.md).</p>"
    )
    unusual = [[one.gateway, u.code, u.sentence] for one in verdict.gateways for u in one.unusual]
    yield _table(("gateway", "code", "what"), unusual) if unusual else "<p>None.</p>"
    yield "<h2>Gateways</h2>"
    yield _table(("gateway", "batches", "records", "statements", "audit"), _gateways(verdict))
    for one in verdict.gateways:
        yield from _gateway(one)
    yield "</main></body></html>\n"


def _files(verdict: Verdict) -> str:
    folder = verdict.folder
    files = sum(map(len, folder.gateways.values()))
    return f"{files} batches and proofs, {len(folder.rows)} files of rows, {len(folder.documents)} documents"


def _gateways(verdict: Verdict) -> list[list[str]]:
    rows = []
    for one in verdict.gateways:
        audit = one.result.audit
        sound = "sound" if audit.sound else f"{audit.findings_total} findings"
        records = str(sum(audit.kinds.values()))
        rows.append([one.gateway, str(len(audit.batches)), records, str(len(one.result.periods)), sound])
    return rows + [[name, "not given", "", "", "the trust file knows it"] for name in verdict.not_given]


def _gateway(one: OfGateway) -> Iterator[str]:
    yield f"<h2>{_text(one.gateway)}</h2><h3>Statements</h3>"
    rows = []
    for period in one.result.periods:
        plan = one.result.sources.plans.get(period.fields.get("plan", b""))
        civil_min = plan.plan.civil_min if plan else 0
        span = [civil_text(period.fields[key], civil_min) if key in period.fields else "?" for key in ("from", "to")]
        head = [plan.plan.name if plan else "?", *span, str(period.fields.get("version", "?"))]
        head.append(statement_state(period))
        for node, status, amount in totals_of(period) or [("", "", "")]:
            unit = (plan.plan.base_of(node) if plan and status not in ("missing", "u") else None) or ""
            rows.append([*head, node, status, f"{amount} {unit}".rstrip()])
            head = [""] * len(head)
    yield _table(("plan", "from", "to", "version", "result", "node", "status", "total"), rows, numbers=(7,))
    differences = [
        [named(period), each.rule, each.where, each.stated or "nothing", each.recomputed]
        for period in one.result.periods
        for each in period.differences
    ]
    if differences:
        yield "<h3>Differences</h3>"
        yield _table(("statement", "rule", "where", "stated", "recomputed"), differences)
    yield "<h3>What people supplied</h3>"
    marked = {unusual.record: unusual for unusual in one.unusual}
    columns = (
        "kind",
        "of",
        "time",
        "says",
        "signed; at the ledgers",
        "who and why",
        "document",
        "counts",
        "without it",
    )
    yield _table(columns, [_input(each) for each in one.inputs], marks=[_mark(each, marked) for each in one.inputs])


def _mark(one: Input, marked: dict[bytes, Unusual]) -> bool:
    return one.kind not in ("profile", "factor") and one.signed.record in marked


def _input(one: Input) -> list[str]:
    until = "" if one.to_ms in (None, one.from_ms) else f" to {rfc3339_ms(one.to_ms or 0)}"
    says = "; ".join([*(f"{name}: {value}" for name, value in one.values.items()), *one.changes])
    ledgers_s = one.signed.ledgers_s
    signed = f"{rfc3339(one.signed.signed_s)}; {'—' if ledgers_s is None else rfc3339(ledgers_s)}"
    who = f"{one.user}: {one.reason}" if one.user is not None else "the plan"
    document = document_text(one)
    if one.document is not None:
        document += f" ({one.document.hex()[:16]}…)"
    effects = "; ".join(map(_effect, one.effects))
    return [one.kind, one.of, f"{rfc3339_ms(one.from_ms)}{until}", says, signed, who, document, one.standing, effects]


def _effect(effect: Effect) -> str:
    return f"{effect.node} {amount_text(effect.without)} in place of {amount_text(effect.total)}"


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), marks: Iterable[bool] = ()
) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
    marked = [*marks] or [False] * len(rows)
    lines = []
    for row, mark in zip(rows, marked, strict=True):
        cells = "".join(
            f"<td{' class=n' if n in numbers else ''}>{_text(str(cell))}</td>" for n, cell in enumerate(row)
        )
        lines.append(f"<tr{' class=unusual' if mark else ''}>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _text(text: str) -> str:
    """Text of a foreign hand: what is not printable as an escape, and nothing of it as markup."""
    return escape(clean(text))
