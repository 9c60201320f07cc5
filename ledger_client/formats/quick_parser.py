"""Quick parser of readings, as nearly all records are: the results of the strict one, at a fifth of its cost. No I/O.

cbor2 reads the bytes, our writers write again what it read, and equal bytes are a record as it has to be: what is
written is the one encoding of what was read, so a form that no record may have, a key that comes twice or a number
that another type stands for gives other bytes. The writers refuse what no record may contain.

Whatever else happens says nothing: the strict parser then reads the bytes anew, and it alone says what is wrong, or
that nothing is. What cbor2 is given is bounded by a record's size and by the depth of a pack, no tag but that of a
decimal fraction is decoded, and what is learnt of owners and points is forgotten when there is much of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Context, Decimal
from typing import Any, Final, NoReturn

import cbor2

from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_RECORD
from ledger_client.formats.record_claims import GATEWAY_ITSELF, Claims, HeaderWriter
from ledger_client.formats.senml import Number, Reading, Value
from ledger_client.formats.senml_writer import PackWriter, Tables, Unusual

CONTENT_READING: Final = "application/senml+cbor"
_MOST_OWNERS: Final = 1 << 15  # 500 bytes each: what a core of a control room hears is remembered whole
_DEPTH: Final = 4  # array, map, tag, array
_scaled: Final = Context(prec=40).scaleb  # exact: a mantissa has 20 digits at most


class _Tags(dict[int, Callable[[Any, bool], Any]]):
    """How tags are decoded: a few to what they hold, and no other one at all."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], NoReturn]:
        return _refuse


def _refuse(_value: object, _immutable: bool) -> NoReturn:
    raise Unusual


def _content(value: object, _immutable: bool) -> object:
    return value


_IN_FRAME, _IN_HEADER, _IN_PACK = _Tags({cbor.TAG_SIGN1: _content}), _Tags(), _Tags({cbor.TAG_DECIMAL: _content})


class _Owner:
    """Writes again what the records of one meter say by one key."""

    def __init__(self, gateway: str, meter: str, alg: int, kid: bytes, tables: Tables) -> None:
        if meter == GATEWAY_ITSELF:
            raise Unusual
        self.header = HeaderWriter(gateway, meter, alg, CONTENT_READING, kid)
        self.pack = PackWriter(gateway, meter, tables)


class _Owners(dict[tuple[str, str, int, bytes], _Owner]):
    """The owners that came up, as many as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self._tables = Tables()

    def __missing__(self, key: tuple[str, str, int, bytes]) -> _Owner:
        learnt = _Owner(*key, self._tables)
        if len(self) >= _MOST_OWNERS:
            self.clear()
        self[key] = learnt
        return learnt


_OWNERS: Final = _Owners()


def usual_reading(data: bytes) -> tuple[Claims, bytes, Reading, cose.Sign1] | None:
    """Claims, kid, reading and signature of a record that is a reading in its one form; None leaves it open what it
    is."""
    if type(data) is not bytes or len(data) > MAX_RECORD:
        return None
    with suppress(Exception):  # the strict parser says what is wrong
        return _read(data)
    return None


def _read(data: bytes) -> tuple[Claims, bytes, Reading, cose.Sign1] | None:
    frame = cbor2.loads(data, semantic_decoders=_IN_FRAME, max_depth=_DEPTH, allow_indefinite=False)
    protected, unprotected, payload, signature = frame
    header = cbor2.loads(protected, semantic_decoders=_IN_HEADER, max_depth=_DEPTH, allow_indefinite=False)
    if header[cose.CONTENT_TYPE] != CONTENT_READING:
        return None
    kid, c = header[cose.KID], header[cose.CWT_CLAIMS]
    gateway, meter = c[cose.ISS], c[cose.SUB]
    claims = Claims(
        gateway, meter, c[cose.IAT], c["up"], c["seq"], c["epoch"], c.get("prev"), c["clock"], c.get("err")
    )  # fmt: skip
    owner = _OWNERS[gateway, meter, header[cose.ALG], kid]
    if owner.header.encode(claims) != protected or cose.frame(protected, payload, signature) != data:
        return None
    entries = cbor2.loads(payload, semantic_decoders=_IN_PACK, max_depth=_DEPTH, allow_indefinite=False)
    reading = Reading(entries[0][-3][1], tuple([_value(entry) for entry in entries]))
    if owner.pack.encode(reading) != payload:
        return None
    return claims, kid, reading, cose.Sign1(protected, header, unprotected, payload, signature)


_value_of: Final = tuple.__new__  # a third of the time of the class itself, and there are thirty in a record


def _value(entry: dict[Any, Any]) -> Value:
    """An entry of a pack, of which nothing is known yet."""
    content: Number | str | bool | list[int] | None = entry.get(2)
    if type(content) is list:
        exponent, mantissa = content
        content = _scaled(Decimal(mantissa), exponent)
    elif content is None:
        content = entry[4] if 4 in entry else entry[3] or None
    offset_ms = entry[6][1] if 6 in entry else 0
    return _value_of(Value, (entry[0], content, entry.get(1), entry.get("q_", 0), offset_ms))
