"""Audit report in plain words. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from ledger_client.audit.changes import changes_in_words
from ledger_client.audit.result import Audit, Audited, Finding, MeterAccount
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.times import rfc3339, rfc3339_ms, span_in_words
from ledger_client.verification.explain import clean

_MEANT: Final = {
    "parse": "is not in the form of evidence",
    "record": "cannot be trusted",
    "inclusion": "does not belong to its batch, or the batch is not whole",
    "statement": "does not agree with its statement",
    "sequence": "is not counted as the statement says",
    "receipts": "has a receipt that does not count",
    "validity": "does not hold at its time",
    "policy": "has too few receipts",
    "chain": "breaks a chain",
    "coverage": "leaves time unaccounted for",
    "times": "tells times that do not agree",
    "due": "counts what was due otherwise than announced",
    "keys": "has keys otherwise than announced",
    "ends": "is not all that there is",
    "resume": "goes on after a loss (--allow-resume takes it as it is told)",
}


def audit_in_words(audit: Audit) -> list[str]:
    """The verdict first, then what was found, what was gone through, and what is to be known besides."""
    batches = audit.batches
    records = sum(audit.kinds.values())
    if audit.sound:
        head = f"SOUND: {_span(batches)} of gateway {audit.gateway}, {records} records: everything holds"
    else:
        few = "finding" if audit.findings_total == 1 else "findings"
        head = f"NOT SOUND: {audit.findings_total} {few} in {_span(batches)}, {records} records"
    lines = [head, *(f"  {_finding(finding)}" for finding in audit.findings)]
    if audit.findings_total > len(audit.findings):
        lines.append(f"  … and {audit.findings_total - len(audit.findings)} more")
    lines += _facts(audit)
    lines += [f"  changed        {clean(change)}" for change in changes_in_words(audit.changes)]
    lines += [f"  to be known    {clean(note)}" for note in audit.remarks.lines()]
    return lines


def _span(batches: Sequence[Audited]) -> str:
    if not batches:
        return "no batch"
    first, last = batches[0].batch, batches[-1].batch
    return f"batch {first}" if first == last else f"batches {first} to {last}"


def _finding(finding: Finding) -> str:
    what = finding.record or (f"batch {finding.batch}" if finding.batch is not None else finding.file)
    where = f" (batch {finding.batch})" if finding.record else ""
    return clean(f"{what}{where} {_MEANT[finding.step]}: {finding.detail}")


def _of_times(account: MeterAccount) -> str:
    """Between which moments, and how old readings were when the ledgers had them."""
    words = ""
    if account.from_ms is not None and account.to_ms is not None:
        words = f"; from {rfc3339_ms(account.from_ms)} to {rfc3339_ms(account.to_ms)}"
    if account.delay_s is not None:
        median, worst = account.delay_s
        held = f"{span_in_words(median * 1000)} (median), {span_in_words(worst * 1000)} (worst)"
        words += f"; on the ledgers after {held}"
    return words


def _contents(account: MeterAccount) -> list[str]:
    """What its readings hold, and the longest time without one."""
    lines, alike = [], defaultdict[int, list[str]](list)
    for name, point in account.points.items():
        alike[point.values].append(name)
    if account.points:
        whole = alike.pop(account.readings, [])
        values = [f"{len(whole)} point{'s' if len(whole) > 1 else ''} in every reading"] if whole else []
        values += [f"{', '.join(names)} in {count}" for count, names in sorted(alike.items(), reverse=True)]
        lines.append(f"values: {'; '.join(values)}")
    kinds = [f"{account.empty} without any value"] if account.empty else []
    kinds += [f"{account.late} LATE"] if account.late else []
    if kinds:
        lines.append(f"readings: {', '.join(kinds)}")
    if account.longest_free is not None:
        lines.append(f"at most {account.longest_free}")
    return lines


def _facts(audit: Audit) -> list[str]:
    lines = []
    for name, account in sorted(audit.meters.items()):
        if name == GATEWAY_ITSELF:
            continue
        missed = ", ".join(f"{reason} {count}" for reason, count in sorted(account.missed.items())) or "none"
        polls = f"due {account.due}, recorded {account.recorded}, missed: {missed}"
        lines.append(f"  {clean(name):<14} {account.readings} readings; polls covered: {polls}{_of_times(account)}")
        lines += [f"  {'':<14} {clean(line)}" for line in _contents(account)]
        if account.exchanged:
            lines.append(f"  {'':<14} exchanged {account.exchanged} times, {account.exchanged_by_hand} of them by hand")
    if audit.from_ms is not None and audit.to_ms is not None:
        lines.append(
            f"  time           {rfc3339_ms(audit.from_ms)} to {rfc3339_ms(audit.to_ms)} by the gateway's clock"
        )
    times = [batch.no_later_than for batch in audit.batches if batch.no_later_than is not None]
    if times:
        lines.append(f"  no later than  {rfc3339(max(times))} by the ledger's, the last batch")
    ledgers = sorted({ledger for batch in audit.batches for ledger, _ in batch.receipts})
    if ledgers:
        lines.append(f"  ledgers        {clean(', '.join(ledgers))}")
    return lines + _keys(audit)


def _keys(audit: Audit) -> list[str]:
    """Where keys are held: a line for each role, or several with whose keys they are where not all are alike."""
    lines = []
    for role, title in (("meter", "meter keys"), ("statement", "statement key"), ("ledger", "ledger keys")):
        held: dict[str, list[str]] = defaultdict(list)
        for one in audit.signing_keys:
            if one.key.role == role:
                held[one.in_words()].append(one.key.meter or one.key.ledger or base64url(one.key.kid))
        for words, names in held.items():
            whose = "" if len(held) == 1 and role != "ledger" else f"{', '.join(names)}: "
            lines.append(f"  {title:<14} {clean(whose + words)}")
    return lines
