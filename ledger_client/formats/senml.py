"""SenML packs of readings (RFC 8428, CBOR labels): values, units, quality bits; one encoding only. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import MAX_TIME_MS, array, is_name, table, text, time_ms, uint

# The SenML registries: RFC 8428 §12.1, RFC 8798 §2 and §3, and what IANA has registered since (NTU, ppb to g/l).
_PRIMARY: Final = (
    "m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 "
    "cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m "
    "B VA VAs var vars J/m kg/m3 deg NTU"
)
_SECONDARY: Final = (
    "ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h ppm "
    "/100 /1000 hPa mm cm km km/h ppb ppt VAh mg/l ug/l g/l"
)
PRIMARY_UNITS: Final = frozenset(_PRIMARY.split())
SECONDARY_UNITS: Final = frozenset(_SECONDARY.split())
_UNITS: Final = PRIMARY_UNITS | SECONDARY_UNITS
_BVER, _BN, _BT, _N, _U, _V, _VS, _VB, _T, _Q = -1, -2, -3, 0, 1, 2, 3, 4, 6, "q_"
_VERSION_SECONDARY: Final = 26  # RFC 8428's version 10 and the feature bit 2⁴ for secondary units (RFC 9100 §3)
_MILLI: Final = -3


class Quality(enum.IntFlag):
    """What is wrong with a value, or worth knowing; bits are never reused, and an unknown bit counts as bad."""

    COMM_FAIL = 1 << 0
    DECODE_ERR = 1 << 1
    NOT_FOUND = 1 << 2
    DEVICE_FAULT = 1 << 3
    STALE = 1 << 4
    FROZEN = 1 << 5
    RANGE_HIGH = 1 << 6
    RANGE_LOW = 1 << 7
    CAL_RANGE = 1 << 8
    MAINTENANCE = 1 << 9
    CALIBRATING = 1 << 10
    STOPPED = 1 << 11
    MANUAL = 1 << 12
    SUBSTITUTED = 1 << 13
    OUT_OF_CONTROL = 1 << 14
    CAL_OVERDUE = 1 << 15
    ROLLOVER = 1 << 16
    COUNTER_RESET = 1 << 17
    METER_EXCHANGED = 1 << 18
    TAMPER = 1 << 19
    IMPLAUSIBLE = 1 << 20
    CLOCK_UNSYNC = 1 << 21
    CLOCK_STEP = 1 << 22
    LATE = 1 << 23
    CACHED = 1 << 24
    SHARED_LINE = 1 << 25
    IDENTITY_UNPROVEN = 1 << 26
    CONFIG_CHANGED = 1 << 27
    BLOCKED = 1 << 28
    NOT_ASKED = 1 << 29


_LATE: Final = int(Quality.LATE)  # masking by a member of the enumeration takes ten times as long


def quality_words(flags: int) -> list[str]:
    """The names of the bits that are set, lowest first; ``BIT_40`` for one that this version does not know."""
    bits = (1 << n for n in range(flags.bit_length()) if flags >> n & 1)
    return [Quality(bit).name or f"BIT_{bit.bit_length() - 1}" for bit in bits]


Number = int | float | Decimal


class Value(NamedTuple):
    """One point of a poll. ``value`` None: there is none, and ``quality`` says why. Unit: a SenML name, or none.

    A ``Decimal`` keeps its exponent (scaled registers); ``offset_ms`` is the time since the reading's own. Empty text
    is no value: it needs a quality bit and is read back as None. A tuple, because a poll makes dozens.
    """

    name: str
    value: Number | str | bool | None
    unit: str | None = None
    quality: int = 0
    offset_ms: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Columns(Sequence[Value]):
    """Values of one moment and one quality, kept by column: what most polls give, without an object for each value.

    Equal to the tuple of its values, which are made when they are asked for.
    """

    names: tuple[str, ...]
    contents: tuple[Number | str | bool | None, ...]
    units: tuple[str | None, ...]
    quality: int = 0

    @classmethod
    def of(cls, values: Sequence[Value]) -> Columns | None:
        """The same values by column; None if they are not of one moment and one quality, or there are none."""
        if isinstance(values, Columns):
            return values
        if not values:
            return None
        names, contents, units, qualities, offsets = zip(*values, strict=True)
        if any(offsets) or qualities.count(qualities[0]) != len(qualities):
            return None
        return cls(names, contents, units, qualities[0])

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Value]:
        for name, content, unit in zip(self.names, self.contents, self.units, strict=True):
            yield Value(name, content, unit, self.quality)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Columns | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, slots=True)
class Reading:
    """One poll of one meter: ``time_ms`` (Unix ms) is when the first block's answer was complete.

    ``values`` are a tuple, or ``Columns``, which is equal to one.
    """

    time_ms: int
    values: Sequence[Value]

    @property
    def late(self) -> bool:
        """Every value says that it came late."""
        if isinstance(self.values, Columns):
            return bool(self.values.quality & _LATE)
        return all(value.quality & _LATE for value in self.values)


def base_name(gateway: str, meter: str) -> str:
    """The pack's bn; with a point name after it, the globally unique SenML name."""
    return f"{gateway}/{meter}/"


def milliseconds(ms: int) -> Decimal:
    """Seconds as SenML wants them, exact: tag 4 [−3, ms]."""
    return Decimal((0, tuple(map(int, str(ms))), _MILLI))


def pack(reading: Reading, gateway: str, meter: str) -> bytes:
    """The SenML pack of a reading; ``EncodeError`` for a unit, name, number or time that has no place in one."""
    if not reading.values:
        raise EncodeError("a reading has at least one value")
    for what, ms in (("time_ms", reading.time_ms), *((f"{v.name}: offset_ms", v.offset_ms) for v in reading.values)):
        if not 0 <= ms <= MAX_TIME_MS:
            raise EncodeError(f"{what} is {ms}, not from 0 to {MAX_TIME_MS}")
    if (twice := named_twice(reading.values)) is not None:
        raise EncodeError(f"{twice}: stands in the reading twice with one time")
    entries = [_entry(value) for value in reading.values]
    entries[0] |= {_BN: base_name(gateway, meter), _BT: milliseconds(reading.time_ms)}
    if any(value.unit in SECONDARY_UNITS for value in reading.values):
        entries[0][_BVER] = _VERSION_SECONDARY
    return cbor.encode(entries)


def _entry(value: Value) -> dict[Any, object]:
    check_point(value.name, value.unit)
    entry: dict[Any, object] = {_N: value.name}
    if value.unit is not None:
        entry[_U] = value.unit
    content = value.value
    if content is None or isinstance(content, str):
        entry[_VS] = content or ""
        if not content and not value.quality:
            raise EncodeError(f"{value.name}: there is no value, and no quality bit says why")
    elif isinstance(content, bool):
        entry[_VB] = content
    else:
        entry[_V] = _number(content)
    if value.offset_ms:
        entry[_T] = milliseconds(value.offset_ms)
    if value.quality:
        entry[_Q] = value.quality
    return entry


def named_twice(values: Sequence[Value]) -> str | None:
    """The point that has two values of one time: which of them counts nobody could say."""
    if len({value.name for value in values}) == len(values):
        return None
    seen: set[tuple[str, int]] = set()
    for value in values:
        if (at := (value.name, value.offset_ms)) in seen:
            return value.name
        seen.add(at)
    return None


def check_point(point: str, unit: str | None) -> None:
    """Raise ``EncodeError`` unless both may stand in a pack."""
    if not is_name(point):
        raise EncodeError(f"{point!r} is not a point name ([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})")
    if unit is not None and unit not in _UNITS:
        raise EncodeError(f"{point}: {unit!r} is not in the SenML unit registries")


def _number(value: Number) -> Number:
    """A decimal without a fraction or a power of ten is an integer, so that a number has one form."""
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    return value


def parse_pack(payload: bytes, gateway: str, meter: str) -> Reading:
    """The reading in a pack; ``Malformed`` (at step 2 where it is of another gateway or meter)."""
    entries = array(cbor.decode(payload), "pack", 1)
    if type(entries[0]) is not dict:
        raise Malformed("pack entry 0 is not a map")
    base = {key: entries[0][key] for key in (_BVER, _BN, _BT) if key in entries[0]}
    table(base, "pack entry 0", {_BN, _BT}, {_BVER})
    rest = {key: value for key, value in entries[0].items() if key not in base}
    values = tuple(_value(entry, f"pack entry {n}") for n, entry in enumerate([rest, *entries[1:]]))
    if (twice := named_twice(values)) is not None:
        raise Malformed(f"the pack has two values of {twice} at one time")
    secondary = any(value.unit in SECONDARY_UNITS for value in values)
    if (_BVER in base) != secondary or (secondary and uint(base[_BVER], "pack version") != _VERSION_SECONDARY):
        raise Malformed(f"pack version is {base.get(_BVER)!r}; with a secondary unit it is 26, else absent")
    reading = Reading(_milliseconds(base[_BT], "pack time"), values)
    if base[_BN] != base_name(gateway, meter):
        problem = f"the pack is of {base[_BN]!r}, the record's claims are of {base_name(gateway, meter)!r}"
        raise Malformed(problem, step=2)
    return reading


def _value(entry: object, where: str) -> Value:
    fields = table(entry, where, {_N}, {_U, _V, _VS, _VB, _T, _Q})
    name, unit = fields[_N], fields.get(_U)
    if not is_name(name):
        raise Malformed(f"{where}: {name!r} is not a point name")
    if unit is not None and (type(unit) is not str or unit not in _UNITS):
        raise Malformed(f"{where}: {unit!r} is not in the SenML unit registries that this version knows")
    offset_ms = _milliseconds(fields[_T], f"{where} time") if _T in fields else 0
    quality = uint(fields[_Q], f"{where} q_") if _Q in fields else 0
    base = (_U, unit), (_T, offset_ms), (_Q, quality)
    if any(key in fields and not content for key, content in base):
        raise Malformed(f"{where}: a unit, time or quality that says nothing is left out")
    if len(fields.keys() & {_V, _VS, _VB}) != 1:
        raise Malformed(f"{where}: not exactly one of v, vs and vb")
    return Value(name, _content(fields, where, quality), unit, quality, offset_ms)


def _content(fields: Mapping[Any, Any], where: str, quality: int) -> Number | str | bool | None:
    if _VB in fields:
        if type(fields[_VB]) is not bool:
            raise Malformed(f"{where}: vb is not a boolean")
        return bool(fields[_VB])
    if _VS in fields:
        if fields[_VS] == "" and quality:
            return None
        return text(fields[_VS], f"{where} vs", 65536)
    number = fields[_V]
    if type(number) not in (int, float, Decimal):
        raise Malformed(f"{where}: v is not a number")
    if type(number) is Decimal and number.as_tuple().exponent == 0:
        raise Malformed(f"{where}: v is an integer written as a decimal fraction")
    return number  # type: ignore[no-any-return]


def _milliseconds(value: object, what: str) -> int:
    if type(value) is not Decimal or cbor.decimal_parts(value)[0] != _MILLI:
        raise Malformed(f"{what} is not a decimal fraction of milliseconds (tag 4 [-3, ms])")
    return time_ms(cbor.decimal_parts(value)[1], what)
