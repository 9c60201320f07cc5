"""Messages of the evidence feed: records, batches, what is asked for again and what is gone, as a gateway and a control
room exchange them over MQTT. Pure.

Each is one deterministic CBOR map (docs/evidence.cddl: ``records-message``, ``batches-message``, ``again-message``,
``gone-message``), the status a JSON object. They carry evidence and are none themselves: nothing in them is signed but
the records and the statement. Writers refuse what the readers would refuse (``EncodeError``), readers everything else
(``Malformed``); every size, count and number is bounded, and a number fits in 63 bits, as databases have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, NoReturn

from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Locator, locator_map, parse_locator
from ledger_client.formats.checks import (
    MAX_BUNDLE,
    MAX_RECEIPTS,
    MAX_RECORD,
    array,
    blob,
    name,
    table,
    uint,
    within,
    writing,
)
from ledger_client.formats.statement import attach_receipts, detach_receipts

VERSION: Final = 1
PREFIX: Final = "meterseal-records/v1"
RECORDS, BATCHES, STATUS, AGAIN, GONE = "records", "batches", "status", "again", "gone"
TOGETHER: Final = MAX_RECORD
"""Bytes of a message of several records; one record may stand in a message of its own, however long a record is."""
FRAME: Final = 64
"""Bytes of a message of records, at most, beside those that ``record_size`` counts."""
MAX_RECORDS_MESSAGE: Final = MAX_RECORD + FRAME + 14
MAX_BATCHES_MESSAGE: Final = MAX_BUNDLE + MAX_RECORD
MAX_ASKED: Final = 100
"""Ranges of records and of batches in one message, together."""
MAX_ASKED_MESSAGE: Final = 16 * 1024
MAX_STATUS: Final = 16 * 1024
MAX_NUMBER: Final = 2**63 - 1
PRUNED, LOST, UNKNOWN = "pruned", "lost", "unknown"
WHYS: Final = (PRUNED, LOST, UNKNOWN)
_BSTR, _ARRAY, _UINT = 2, 4, 0
_BEGIN: Final = b"\xa3\x61v\x01\x66places"
_RECORDS: Final = b"\x67records"


def topic(gateway: str, message: str) -> str:
    """The topic of one kind of message of a gateway."""
    return f"{PREFIX}/{gateway}/{message}"


# — records —


class RecordsMessage(NamedTuple):
    """Signed records, unread, in the order of their places in the gateway's database: that of a batch's leaves."""

    places: tuple[int, ...]
    records: tuple[bytes, ...]


def record_size(place: int, record: bytes) -> int:
    """Bytes that a record adds to a message."""
    return len(cbor.head_bytes(_UINT, place)) + len(cbor.head_bytes(_BSTR, len(record))) + len(record)


def encode_records(places: Sequence[int], records: Sequence[bytes]) -> bytes:
    """Write a message of records; ``EncodeError`` where the places do not rise, or it would be too long."""
    with writing("records message"):
        _check_records(places, records)
        head = _BEGIN + cbor.encode(list(places)) + _RECORDS + cbor.head_bytes(_ARRAY, len(records))
        parts = [head]
        for record in records:
            parts += cbor.head_bytes(_BSTR, len(record)), record
        return _records_within(b"".join(parts), len(records))


def parse_records(data: bytes) -> RecordsMessage:
    """Read a message of records strictly; the records stay unread bytes."""
    fields = _fields(within(data, MAX_RECORDS_MESSAGE, "the message"), {"places", "records"})
    places, records = array(fields["places"], "places", 1), array(fields["records"], "records", 1)
    _check_records(places, records)
    _records_within(data, len(records))
    return RecordsMessage(tuple(places), tuple(records))


def _check_records(places: Sequence[Any], records: Sequence[Any]) -> None:
    if not 0 < len(places) == len(records):
        raise Malformed(f"{len(places)} places and {len(records)} records")
    for place in places:
        uint(place, "place", MAX_NUMBER)
    if any(before >= after for before, after in pairwise(places)):
        raise Malformed("the places do not rise")
    for record in records:
        if type(record) is not bytes or not 0 < len(record) <= MAX_RECORD:
            raise Malformed(f"a record is no byte string of 1 to {MAX_RECORD} bytes")


def _records_within(data: bytes, count: int) -> bytes:
    return within(data, MAX_RECORDS_MESSAGE if count == 1 else TOGETHER, "the message")


# — batches —


class BatchesMessage(NamedTuple):
    """A batch's statement (its entry, unread), the receipts and the locators that there are of it."""

    entry: bytes
    receipts: tuple[bytes, ...]
    anchors: tuple[Locator, ...]


def encode_batches(entry: bytes, receipts: Sequence[bytes] = (), anchors: Sequence[Locator] = ()) -> bytes:
    """Write what there is of a batch beside its records; ``EncodeError`` for what a reader would refuse."""
    with writing("batches message"):
        data = cbor.encode(
            {
                "v": VERSION,
                "anchors": [locator_map(locator) for locator in anchors],
                "statement": attach_receipts(entry, receipts),
            }
        )
        parse_batches(data)
    return data


def parse_batches(data: bytes) -> BatchesMessage:
    """Read what there is of a batch strictly; statement and receipts stay unread bytes."""
    fields = _fields(within(data, MAX_BATCHES_MESSAGE, "the message"), {"anchors", "statement"})
    if type(fields["statement"]) is not bytes:
        raise Malformed("the statement is not a byte string")
    entry, receipts = detach_receipts(fields["statement"])
    anchors = tuple(parse_locator(value) for value in array(fields["anchors"], "anchors", 0, MAX_RECEIPTS))
    return BatchesMessage(entry, receipts, anchors)


# — what is asked for again, and what is gone —


class RecordRange(NamedTuple):
    """Records first … last, both included, of one meter (or ``gateway``) in one epoch (8 bytes)."""

    meter: str
    epoch: bytes
    first: int
    last: int


class Asked(NamedTuple):
    """Ranges of records, and of batch numbers (first … last, both included)."""

    ranges: tuple[RecordRange, ...] = ()
    batches: tuple[tuple[int, int], ...] = ()


class GoneMessage(NamedTuple):
    """What a gateway cannot send again, and why: ``pruned``, ``lost``, ``unknown``. Not signed: a claim, no proof."""

    why: str
    asked: Asked


def encode_again(asked: Asked) -> bytes:
    """Write what is to be sent again: 1 to 100 ranges; ``EncodeError`` for what a reader would refuse."""
    with writing("again message"):
        data = cbor.encode({"v": VERSION, **_plain(asked)})
        parse_again(data)
    return data


def parse_again(data: bytes) -> Asked:
    """Read strictly what is to be sent again. Ranges may overlap, and may name what never was."""
    return _asked(_fields(within(data, MAX_ASKED_MESSAGE, "the message"), {"ranges", "batches"}))


def encode_gone(why: str, asked: Asked) -> bytes:
    """Write what cannot be sent again; ``EncodeError`` for what a reader would refuse."""
    with writing("gone message"):
        data = cbor.encode({"v": VERSION, "why": why, **_plain(asked)})
        parse_gone(data)
    return data


def parse_gone(data: bytes) -> GoneMessage:
    """Read strictly what cannot be sent again."""
    fields = _fields(within(data, MAX_ASKED_MESSAGE, "the message"), {"why", "ranges", "batches"})
    if fields["why"] not in WHYS:
        raise Malformed(f"why is {fields['why']!r:.80}, not one of {', '.join(WHYS)}")
    return GoneMessage(fields["why"], _asked(fields))


def _plain(asked: Asked) -> dict[str, object]:
    return {"ranges": [list(each) for each in asked.ranges], "batches": [list(each) for each in asked.batches]}


def _asked(fields: Mapping[str, Any]) -> Asked:
    ranges, batches = array(fields["ranges"], "ranges"), array(fields["batches"], "batches")
    if not 0 < len(ranges) + len(batches) <= MAX_ASKED:
        raise Malformed(f"{len(ranges) + len(batches)} ranges in all, not 1 to {MAX_ASKED}")
    return Asked(tuple(map(_range, ranges)), tuple(_first_last(each, "a range of batches") for each in batches))


def _range(value: object) -> RecordRange:
    meter, epoch, *ends = array(value, "a range of records", 4, 4)
    return RecordRange(name(meter, "meter"), blob(epoch, "epoch", 8), *_first_last(ends, "a range of records"))


def _first_last(value: object, what: str) -> tuple[int, int]:
    first, last = (uint(each, what, MAX_NUMBER) for each in array(value, what, 2, 2))
    if first > last:
        raise Malformed(f"{what} from {first} to {last}")
    return first, last


def _fields(data: bytes, keys: set[str]) -> dict[str, Any]:
    fields = table(cbor.decode(data), "the message", {"v"} | keys)
    if type(fields["v"]) is not int or fields["v"] != VERSION:
        raise Malformed(f"message version {fields['v']!r:.80}; this program reads version {VERSION}")
    return fields


# — status —


def encode_status(fields: Mapping[str, Any]) -> bytes:
    """Write a status: ``online`` and what else a gateway says of itself; ``EncodeError`` for what a reader would
    refuse."""
    with writing("status"):
        data = json.dumps({"v": VERSION, **fields}, ensure_ascii=False, separators=(",", ":")).encode(
            errors="surrogatepass"
        )
        parse_status(data)
    return data


def parse_status(data: bytes) -> dict[str, Any]:
    """Read a status: an object with ``v`` and ``online`` (true or false), and others that are known or not. It holds
    integers of 64 bits, text of one line, true, false, null, arrays and objects of these, and no key twice."""
    try:
        text = within(data, MAX_STATUS, "the status").decode()
        fields = json.loads(
            text, parse_int=_json_int, parse_float=_no_number, parse_constant=_no_number, object_pairs_hook=_object
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Malformed("the status is not JSON") from None
    _check_texts(fields, 0)
    if type(fields) is not dict or type(fields.get("v")) is not int or fields["v"] != VERSION:
        raise Malformed(f"the status is no object of version {VERSION}")
    if type(fields.get("online")) is not bool:
        raise Malformed("the status does not say whether the gateway is online")
    return fields


def _json_int(digits: str) -> int:
    if len(digits) > 20 or not -MAX_NUMBER <= int(digits) <= MAX_NUMBER:
        raise Malformed(f"{digits:.40} is not an integer of 64 bits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise Malformed(f"{text:.40} is not an integer")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Malformed("a key comes twice")
    return fields


def _check_texts(value: object, depth: int) -> None:
    if depth > cbor.MAX_DEPTH:
        raise Malformed(f"nested deeper than {cbor.MAX_DEPTH}")
    if isinstance(value, str) and not value.isprintable():
        raise Malformed(f"{value!r:.80} is not a text of one line")
    if isinstance(value, dict):
        for key in value:
            _check_texts(key, depth + 1)
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_texts(each, depth + 1)
