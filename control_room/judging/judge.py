"""What one message of a gateway brings: form, owner, key, validity, signature. Pure, and it never raises.

Steps are those of ``ledger_client.errors.STEPS``, as a verifier counts them: 1 its bytes, 2 a record's owner, key and
signature, 4 a statement's, 7 whether the key counts. Nothing is believed that its own gateway's topic does not bring:
the broker lets a gateway publish below its own name alone, and its records say the same name, signed.

Judged is what can be known when a message comes in. Until the ledgers' receipts are there nobody knows the time at
which a key has to count, only that it is not earlier than the record says, by more than clocks may differ: so a key
that had ended by then, or was revoked, is refused here, and every other one by ``completeness``, with the receipts.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Final

from control_room.judged import Gone, Judged, JudgedRecord, JudgedStatement, Refusal, Status
from control_room.judging import records, statements
from control_room.judging.keys import demand_known
from control_room.judging.storable import demand_numbers
from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.errors import KeyNotValid, UnknownKey, VerificationError
from ledger_client.formats import feed_messages
from ledger_client.formats.checks import is_name
from ledger_client.verification.trust import Trust

FORM: Final = 1
_PREFIX: Final = f"{feed_messages.PREFIX}/"


def judge(topic: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    """What a message under an MQTT topic brings, at ``now_s`` (Unix seconds); what is not believed stands in
    ``refusals``. Never raises, whatever the bytes are."""
    try:
        gateway, kind = owner_of(topic)
        if kind is None:
            why = Message("control-topic", topic=topic[:300], prefix=feed_messages.PREFIX)
            return Judged(refusals=(Refusal(topic, gateway, FORM, why, data, None),))
        return _JUDGES[kind](topic, gateway, data, trust, now_s)
    except VerificationError as error:
        return Judged(refusals=(refusal(topic, data, error, None),))
    except Exception as error:  # a mistake of ours must not stop every other gateway; it is seen, and counted
        at = traceback.extract_tb(error.__traceback__)[-1]
        why = Message("control-judging-failed", error=type(error).__name__, function=at.name, line=at.lineno or 0)
        return Judged(refusals=(Refusal(topic, owner_of(topic)[0], FORM, why, data, None),))


def owner_of(topic: str) -> tuple[str, str | None]:
    """The gateway that a topic is of (``""``: none), and the kind of its messages (None: none that is known)."""
    gateway, _, kind = topic[len(_PREFIX) :].partition("/") if topic.startswith(_PREFIX) else ("", "", "")
    if not is_name(gateway):
        return "", None
    return gateway, kind if kind in _JUDGES else None


def refusal(topic: str, data: bytes, error: VerificationError, kid: bytes | None) -> Refusal:
    """What stopped, as a message; with the kid where another trust file may say otherwise."""
    what = error.sentence
    why = what if isinstance(what, messages.Message) else Message("control-form", what=what)
    for_key = kid if isinstance(error, UnknownKey | KeyNotValid) else None
    return Refusal(topic, owner_of(topic)[0], error.step, why, data, for_key)


def _records(topic: str, gateway: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    message = feed_messages.parse_records(data)
    found: list[JudgedRecord] = []
    refusals: list[Refusal] = []
    for place, record in zip(message.places, message.records, strict=True):
        try:
            found.append(records.judged(gateway, place, record, trust, now_s))
        except VerificationError as error:
            alone = data if len(message.records) == 1 else feed_messages.encode_records([place], [record])
            refusals.append(refusal(topic, alone, error, records.kid_of(record)))
    return Judged(records=tuple(found), refusals=tuple(refusals))


def _batches(topic: str, gateway: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    message = feed_messages.parse_batches(data)
    try:
        signed = statements.judged(gateway, message.entry, trust, now_s)
    except VerificationError as error:
        return Judged(refusals=(refusal(topic, data, error, statements.kid_of(message.entry)),))
    return Judged(statements=(JudgedStatement(gateway, signed, message.receipts, message.anchors),))


def _status(topic: str, gateway: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    fields = feed_messages.parse_status(data)
    demand_known(gateway, trust)
    return Judged(statuses=(Status(gateway, fields),))


def _gone(topic: str, gateway: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    message = feed_messages.parse_gone(data)
    ranges, batches = tuple(message.asked.ranges), tuple(message.asked.batches)
    demand_numbers(_numbers(ranges, batches), step=FORM)
    demand_known(gateway, trust)
    gone = Gone(gateway, message.why, tuple((r.meter, r.epoch, r.first, r.last) for r in ranges), batches)
    return Judged(gone=(gone,))


def _numbers(
    ranges: tuple[feed_messages.RecordRange, ...], batches: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, int]]:
    yield from (("seq", each.last) for each in ranges)
    yield from (("batch", last) for _, last in batches)


def _again(topic: str, gateway: str, data: bytes, trust: Trust, now_s: int) -> Judged:
    """What a control room asks a gateway for, itself or another one: it brings nothing."""
    return Judged()


_JUDGES: Final[dict[str, Callable[[str, str, bytes, Trust, int], Judged]]] = {
    feed_messages.RECORDS: _records,
    feed_messages.BATCHES: _batches,
    feed_messages.STATUS: _status,
    feed_messages.GONE: _gone,
    feed_messages.AGAIN: _again,
}
