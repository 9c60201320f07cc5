"""Verification report in plain words: the numbered steps as they passed, then the facts. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from ledger_client.errors import STEPS
from ledger_client.formats.record import EXCHANGE, GATEWAY_ITSELF, Coverage, Event
from ledger_client.formats.senml import Value
from ledger_client.formats.statement import id_text
from ledger_client.log_lines import printable
from ledger_client.times import rfc3339, rfc3339_ms, span_in_words
from ledger_client.verification.as_json import plain_json
from ledger_client.verification.commissioning_words import commissioning_facts, has_words
from ledger_client.verification.key_storage import SigningKey
from ledger_client.verification.online_facts import LogFact
from ledger_client.verification.value_words import number_text, quality_in_words
from ledger_client.verification.verify import Verified
from ledger_client.verification.witnesses import Cosigned

_CLOCKS: Final = {
    "U": "unknown, the clock was not set",
    "I": "informative, the clock ran free",
    "S": "synchronised",
    "R": "relative, counted since the gateway's start",
}
_BY_HAND: Final = (
    ", by hand: the new device tells no number, so only whoever signed for it knows that it is another one"
)
_KINDS: Final = {"reading": "a reading", "coverage": "a coverage record", "event": "an event"}
_UNITS: Final = {"/100": "percent", "/": "(ratio)", "Cel": "°C", "degC": "°C"}


def clean(text: str) -> str:
    """Text of a foreign hand, safe on a terminal: what is not printable is shown as an escape."""
    return printable(text)


def steps_in_words(proven: Verified) -> list[str]:
    """The eight steps, each with what it established."""
    ledgers = ", ".join(ledger for ledger, _ in proven.receipts)
    facts = {
        1: "bundle, record, statement and receipts are well formed",
        2: f"the record, {_KINDS[proven.kind]}, is signed by the key of {_whose(proven)}",
        3: f"the record is in the Merkle tree of batch {proven.batch}",
        4: f"batch {proven.batch} is signed by the statement key of gateway {proven.gateway}",
        5: f"the batch counts record {proven.seq} of epoch {proven.epoch.hex()}",
        6: f"the batch is on {ledgers}" if proven.on_chain else f"the batch is in the log of {ledgers}",
        7: "every key was valid when it counted",
        8: f"as many ledgers vouch as the trust file asks for: {ledgers}",
    }
    return [f"{number} {STEPS[number]:<9} ✓ {clean(text)}" for number, text in facts.items()]


def facts_in_words(proven: Verified) -> list[str]:
    """Whose record, what it says, when, on which ledgers, in which batch."""
    clock = _CLOCKS.get(proven.clock, proven.clock)
    lines = [
        f"VERIFIED: {_KINDS[proven.kind]} of {_whose(proven)}",
        f"  recorded       {rfc3339_ms(proven.time_ms)} by the gateway's clock ({clock})",
        f"  no later than  {rfc3339(proven.no_later_than)} by the ledger's",
        f"  delay          {span_in_words(proven.delay_ms)}",
        *_body(proven),
        f"  batch          {proven.batch}, statement {id_text(proven.statement_id)}",
        f"  root           {proven.root.hex()}",
        *([f"  after a loss   {clean(proven.resume)}"] if proven.resume is not None else []),
        *(f"  {_key_of(key):<14} {clean(key.in_words())}" for key in proven.keys if key.key.ledger is None),
        *(f"  ledger         {_vouched(proven, ledger, time)}" for ledger, time in proven.receipts),
        *(f"  witnessed      {_cosigned(head)}" for head in proven.witnessed),
        *(f"  still there    {clean(ledger)}, {_in_its_log(log)}" for ledger, log in proven.in_log.items()),
        *([f"  no other       batch {proven.batch} on {clean(', '.join(proven.asked))}"] if proven.asked else []),
        *(f"  not confirmed  {clean(line)}" for line in proven.unconfirmed),
    ]
    return lines


def _vouched(proven: Verified, ledger: str, time: int) -> str:
    vouched = f"{clean(ledger)}, {'block' if ledger in proven.on_chain else 'receipt'} of {rfc3339(time)}"
    keys = [f", key in {clean(key.in_words())}" for key in proven.keys if key.key.ledger == ledger]
    return vouched + "".join(keys)


def _key_of(key: SigningKey) -> str:
    return "meter key" if key.key.meter is not None else "statement key"


def _cosigned(head: Cosigned) -> str:
    by = ", ".join(f"{clean(name)} ({rfc3339(time)})" for name, time in head.witnesses) or "nobody whom you trust"
    return f"{clean(head.ledger)}, its log of {head.size} entries by {by}"


def _in_its_log(log: LogFact) -> str:
    return f"in the log of {log.entries} entries at {rfc3339(log.time)}"


def _whose(proven: Verified) -> str:
    if proven.meter == GATEWAY_ITSELF:
        return f"gateway {proven.gateway} itself"
    return f"meter {proven.meter} of gateway {proven.gateway}"


def _body(proven: Verified) -> list[str]:
    body = proven.body
    if isinstance(body, Coverage):
        span = f"{rfc3339_ms(body.from_ms)} to {rfc3339_ms(body.to_ms)}"
        missed = ", ".join(f"{reason} {count}" for reason, count in body.missed.items()) or "none"
        return [
            f"  time covered   {span}",
            f"  polls          due {body.due}, recorded {body.recorded}, missed: {missed}",
        ]
    if isinstance(body, Event) and has_words(body):
        facts = commissioning_facts(body.fields)
        lines = (f"    {clean(label):<12}  {_fact_text(value)}" for label, value in facts)
        return ["  commissioned   as somebody there has stated", *lines]
    if isinstance(body, Event):
        fields = (f"    {clean(name)} = {_fact_text(value)}" for name, value in sorted(body.fields.items()))
        title = body.name + (_BY_HAND if body.name == EXCHANGE and body.fields.get("by-hand") is True else "")
        return [f"  event          {title}", *fields]  # a line each: no text can pass for another fact
    return _values(body.values)


def _fact_text(value: object) -> str:
    """What an event says; what consists of parts as its JSON."""
    parts = isinstance(value, list | Mapping)
    return clean(json.dumps(plain_json(value), ensure_ascii=False)) if parts else number_text(value)


def _values(values: Sequence[Value]) -> list[str]:
    rows = [(clean(v.name), number_text(v.value), _UNITS.get(v.unit or "", v.unit or "")) for v in values]
    names, numbers, units = (max((len(row[i]) for row in rows), default=0) for i in range(3))
    return [
        f"  {name:<{names}}  {number:>{numbers}} {unit:<{units}}  {quality_in_words(value.quality)}{_offset(value)}"
        for (name, number, unit), value in zip(rows, values, strict=True)
    ]


def _offset(value: Value) -> str:
    return f" (read {value.offset_ms} ms later)" if value.offset_ms else ""
