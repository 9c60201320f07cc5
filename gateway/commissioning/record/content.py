"""Commissioning record: how a meter was put into service, as the content of a signed event of its chain.

The event ``commissioned`` with a ``profile``; one without has only the identity, of a device seen for the first time
(docs/evidence.cddl). Strict in both directions: what is read gives the same event when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.errors import LedgerClientError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import array, blob, is_name, line, name, table, text, time_ms, uint
from ledger_client.formats.record import COMMISSIONED, Event

MOST_BYTES: Final = 60 * 1024
"""Of the event: a record may have 64 KiB, with its claims and signature."""
MOST_TEXT, MOST_REMARKS, MOST_FRAME = 256, 4096, 1024

Verdict = Literal["agrees", "differs"]
Setting = str | int | bool
Shown = int | float | Decimal | str | bool
"""A value as it was decoded."""

_REQUIRED: Final = {"profile", "profile-hash", "settings", "role", "reversed", "by", "at"}
_OPTIONAL: Final = {
    "identity", "ratios", "comparisons", "plate", "seals", "position", "photos", "remarks", "reversed-phase",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """One point, read over the wire and on the meter's display.

    ``value`` in ``unit`` (SenML, "" where it has none), as recorded; ``display`` as it was typed, with its unit where
    that is another one (``12345.6 kWh``). ``request`` and ``answer``: the frames as they were on the wire, empty
    where the meter sent unasked. ``at_ms``: when the answer was complete, Unix ms. ``verdict``: whether they agree
    within the display's last digit.
    """

    point: str
    unit: str
    value: Shown
    display: str
    request: bytes
    answer: bytes
    at_ms: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture that stays with the installer: its file name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class CommissioningRecord:
    """How a meter was put into service. ``meter`` is the owner of the chain and no field of the event.

    Attributes:
        identity: what the device says that it is (``serial_number=4711``); None: it does not tell.
        profile: name of its profile; ``profile_hash`` as ``Config.configured`` has it.
        settings: how it is reached and read: line, type, address, speed, word order …
        ratios: ``ct`` and ``pt`` as configured ("200/5").
        reversed: it hangs the wrong way round.
        reversed_phase: why a phase may run against both others, "" where nobody said so.
        plate_serial: the number on its plate, "" where none was read.
        by: who commissioned it; ``at_ms`` when, Unix ms.
    """

    meter: str
    identity: str | None
    profile: str
    profile_hash: bytes
    settings: Mapping[str, Setting]
    role: str
    by: str
    at_ms: int
    ratios: Mapping[str, str] = field(default_factory=dict)
    reversed: bool = False
    comparisons: tuple[Comparison, ...] = ()
    plate_serial: str = ""
    seals: tuple[str, ...] = ()
    position: str = ""
    photos: tuple[Photo, ...] = ()
    remarks: str = ""
    reversed_phase: str = ""

    def event(self) -> Event:
        """The event that is signed. Raises GatewayError: a field that it cannot hold, or more than fits."""
        fields: dict[str, Any] = {
            "profile": self.profile,
            "profile-hash": self.profile_hash,
            "settings": dict(self.settings),
            "role": self.role,
            "reversed": self.reversed,
            "by": self.by,
            "at": self.at_ms,
        }
        optional = {
            "identity": self.identity,
            "ratios": dict(self.ratios),
            "comparisons": [_comparison_fields(each) for each in self.comparisons],
            "plate": self.plate_serial,
            "seals": list(self.seals),
            "position": self.position,
            "photos": [{"name": each.name, "size": each.size, "sha256": each.sha256} for each in self.photos],
            "remarks": self.remarks,
            "reversed-phase": self.reversed_phase,
        }
        event = Event(COMMISSIONED, fields | {key: value for key, value in optional.items() if value})
        self._demand_fitting(event)
        of(self.meter, event)
        return event

    def _demand_fitting(self, event: Event) -> None:
        try:
            size_bytes = len(cbor.encode({"event": event.name, **event.fields}))
        except LedgerClientError as error:
            raise GatewayError(Message("commissioned-field", meter=self.meter, why=error.sentence)) from None
        if size_bytes > MOST_BYTES:
            raise GatewayError(
                Message(
                    "commissioned-too-large",
                    meter=self.meter,
                    size_bytes=size_bytes,
                    limit_bytes=MOST_BYTES,
                    comparisons=len(self.comparisons),
                    photos=len(self.photos),
                )
            )


def of(meter: str, event: Event) -> CommissioningRecord:
    """The record that an event of this meter's chain holds: the inverse of ``event``. Raises GatewayError."""
    try:
        if event.name != COMMISSIONED:
            raise GatewayError(Message("commissioned-other-event", meter=meter, event=event.name))
        return _read(name(meter, "meter"), table(dict(event.fields), COMMISSIONED, _REQUIRED, _OPTIONAL))
    except LedgerClientError as error:
        raise GatewayError(Message("commissioned-field", meter=meter, why=error.sentence)) from None


def _read(meter: str, fields: Mapping[str, Any]) -> CommissioningRecord:
    def items(key: str) -> list[Any]:
        return array(fields[key], key, 1) if key in fields else []

    def optional(key: str, most: int = MOST_TEXT) -> str:
        return line(fields[key], key, most) if key in fields else ""

    return CommissioningRecord(
        meter=meter,
        identity=line(fields["identity"], "identity", 1024) if "identity" in fields else None,
        profile=line(fields["profile"], "profile"),
        profile_hash=blob(fields["profile-hash"], "profile-hash", 32),
        settings={key: _setting(key, value) for key, value in _map(fields["settings"], "settings").items()},
        role=line(fields["role"], "role"),
        by=line(fields["by"], "by"),
        at_ms=time_ms(fields["at"], "at"),
        ratios=_ratios(fields["ratios"]) if "ratios" in fields else {},
        reversed=_bool(fields["reversed"], "reversed"),
        comparisons=tuple(map(_comparison, items("comparisons"))),
        plate_serial=optional("plate"),
        seals=tuple(line(seal, "seals") for seal in items("seals")),
        position=optional("position"),
        photos=tuple(map(_photo, items("photos"))),
        remarks=_lines(fields["remarks"]) if "remarks" in fields else "",
        reversed_phase=optional("reversed-phase"),
    )


def _comparison_fields(each: Comparison) -> dict[str, Any]:
    fields = {
        "point": each.point,
        "value": each.value,
        "display": each.display,
        "at": each.at_ms,
        "verdict": each.verdict,
    }
    optional = {"unit": each.unit, "request": each.request, "answer": each.answer}
    return fields | {key: value for key, value in optional.items() if value}


def _comparison(value: object) -> Comparison:
    required = {"point", "value", "display", "at", "verdict"}
    fields = table(value, "a comparison", required, {"unit", "request", "answer"})
    return Comparison(
        point=name(fields["point"], "comparison point"),
        unit=line(fields["unit"], "comparison unit") if "unit" in fields else "",
        value=_shown(fields["value"]),
        display=line(fields["display"], "comparison display"),
        request=_frame(fields["request"], "comparison request") if "request" in fields else b"",
        answer=_frame(fields["answer"], "comparison answer") if "answer" in fields else b"",
        at_ms=time_ms(fields["at"], "comparison at"),
        verdict=_verdict(fields["verdict"]),
    )


def _photo(value: object) -> Photo:
    fields = table(value, "a photo", {"name", "size", "sha256"})
    return Photo(
        line(fields["name"], "photo name"),
        uint(fields["size"], "photo size"),
        blob(fields["sha256"], "photo sha256", 32),
    )


def _verdict(value: object) -> Verdict:
    if value not in get_args(Verdict):
        raise _wrong("comparison verdict", value, "agrees or differs")
    return value  # type: ignore[return-value]


def _shown(value: object) -> Shown:
    if isinstance(value, str):
        return line(value, "comparison value")
    if not isinstance(value, int | float | Decimal):
        raise _wrong("comparison value", value, "a number, a text or true or false")
    return value


def _setting(key: str, value: object) -> Setting:
    if isinstance(value, str):
        return line(value, key)
    if not isinstance(value, int):
        raise _wrong(f"setting {key}", value, "a text, an integer or true or false")
    return value


def _map(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) and is_name(key) for key in value):
        raise _wrong(what, value, "a map with names as keys")
    return value


def _ratios(value: object) -> dict[str, str]:
    ratios = {key: line(ratio, key) for key, ratio in _map(value, "ratios").items()}
    if not ratios:
        raise _wrong("ratios", value, "absent where there are none")
    return ratios


def _frame(value: object, what: str) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MOST_FRAME:
        raise _wrong(what, value, f"1 to {MOST_FRAME} bytes")
    return value


def _bool(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(what, value, "true or false")
    return value


def _lines(value: object) -> str:
    """Remarks: lines without control characters."""
    lines: Sequence[str] = text(value, "remarks", MOST_REMARKS).split("\n")
    if not all(each.isprintable() for each in lines):
        raise _wrong("remarks", value, "a text without control characters")
    return "\n".join(lines)


def _wrong(what: str, value: object, wanted: str) -> Malformed:
    return Malformed(f"{what} is {value!r:.80}, not {wanted}")
