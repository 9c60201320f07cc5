"""Events of accounting that the running gateway signs: what may be signed, and what has been."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.accounting.plans.history import History, history_of
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import parse_entry, unit_fault
from ledger_client.accounting.formats.plan import Plan, parse_plan
from ledger_client.accounting.formats.standings import in_the_way
from ledger_client.accounting.reigns import closed_nodes, reigns, shared
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.statement import MOST_PAYLOAD, parse_choice
from ledger_client.errors import LedgerClientError
from ledger_client.formats import cbor
from ledger_client.formats.record import Event, parse_record, record_hash

SIGN = "sign"
"""Name of the order."""
_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    words.PLAN: lambda fields: demand_shipped(parse_plan(fields)),
    words.ENTRY: parse_entry,
    words.PERIOD: lambda fields: parse_choice(fields, 0),
}
_PERIOD_KEYS = ("plan", "from", "to", "version")


def encoded(fields: Mapping[str, Any]) -> str:
    """The fields of an event, as the order says them over the control socket."""
    return b64encode(cbor.encode(dict(fields))).decode()


def event_of(name: object, fields: object) -> Event:
    """The event that an order says, checked. Raises GatewayError."""
    if not isinstance(name, str) or name not in _CHECKS or not isinstance(fields, str):
        raise GatewayError(Message("sign-unknown-event", event=str(name)))
    try:
        read = cbor.decode(b64decode(fields, validate=True))
        if not isinstance(read, dict):
            raise GatewayError(Message("sign-unknown-event", event=str(name)))
        _CHECKS[name](read)
    except NotBase64:
        raise GatewayError(Message("sign-unknown-event", event=str(name))) from None
    except LedgerClientError as error:
        raise GatewayError(error.sentence, error.way_out) from None
    if (size := len(cbor.encode({"event": name, **read}))) > MOST_PAYLOAD:
        raise GatewayError(Message("sign-too-large", event=name, size_bytes=size, limit_bytes=MOST_PAYLOAD))
    return Event(name, read)


def demand_alone(store: Database, event: Event, now_ms: int) -> None:
    """Raises Declined for an entry that does not name all that stands in its time (P9), GatewayError for one whose unit
    is of another kind than what it is of (P9), Declined for a plan with a point of another name's (P6); other events
    are not looked at."""
    if event.name == words.PLAN:
        _demand_free(history_of(store), parse_plan(event.fields), now_ms)
    if event.name != words.ENTRY:
        return
    history, entry = history_of(store), parse_entry(event.fields)
    for plan in [one.plan for one in history.plans if one.plan.concerns(entry.of)][-1:]:
        if (fault := unit_fault(plan, entry)) is not None:
            raise GatewayError(fault.sentence, fault.way_out)
    missed = in_the_way([earlier for _, earlier in history.entries], entry)
    all_ = [record.hex() for record in dict.fromkeys((*entry.replaces, *missed))]
    if missed and len(all_) == 1:
        raise Declined(Message("entry-stated", of=entry.of, record=all_[0]))
    if missed:
        options = " ".join(f"--replaces {record}" for record in all_)
        raise Declined(Message("entry-replaces-misses", of=entry.of, n=len(missed), options=options))


def _demand_free(history: History, plan: Plan, now_ms: int) -> None:
    """No plan of another name that rules from a plan's beginning on has had one of its points for longer (P6)."""
    every = [(one.record, one.plan, one.iat_ms) for one in history.plans]
    named = reigns([*every, (b"", plan, now_ms)])
    mine = named[plan.name][-1]
    closed = closed_nodes([entry for _, entry in history.entries], mine.from_ms)
    for other, point in shared(mine, named, mine.from_ms, mine.to_ms, closed):
        raise Declined(Message("plan-point-taken", point=point, other=other.plan.name))


def signed(store: Database, event: Event) -> bytes | None:
    """The record hash of the same event, if it has been signed before. Raises Declined where another statement bears
    its period and version."""
    for row in store.records.events_of(GATEWAY):
        if event.name.encode() not in row.data:
            continue
        body = parse_record(row.data).body
        if not isinstance(body, Event) or body.name != event.name:
            continue
        if dict(body.fields) == dict(event.fields):
            return record_hash(row.data)
        if event.name == words.PERIOD and all(body.fields.get(key) == event.fields.get(key) for key in _PERIOD_KEYS):
            raise Declined(Message("statement-version-taken", version=event.fields["version"]))
    return None
