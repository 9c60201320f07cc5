"""What a scan found: lines, the units on them, which profiles fit each and why; as data, and as JSON both ways.

Pure. Sentences are messages, so that a page or a command says them in its language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from gateway.config.bus_types import TYPES, TypeName
from gateway.errors import GatewayError
from gateway.messages.message import Message

Protocol = Literal["modbus", "sunspec", "dlt645"]
FORMAT: Final = "meterseal-scan/1"
"""Value of ``format`` in the JSON of a result."""


class BadScanFile(GatewayError):
    """JSON that is not the result of a scan: what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile that fits a unit. ``confidence``: 0 to 1. ``word_order``: "big" or "little" where the profile asks."""

    profile: str
    confidence: float
    why: tuple[Message, ...] = ()
    word_order: str | None = None


SURE: Final = 0.5
"""A candidate of less confidence is one to look at, not one to read a meter by."""


@dataclass(frozen=True, slots=True)
class FoundUnit:
    """A device that answered.

    ``address``: Modbus unit, or the 12 digits of a DL/T 645 meter. ``candidates``: the likeliest first; none: nothing
    that is known fits. ``evidence``: what it said of itself. ``identity``: its serial number. ``latency_ms``: from the
    end of a question to the first byte of its answer, as far as it was seen.
    """

    address: int | str
    protocol: Protocol
    candidates: tuple[Candidate, ...] = ()
    evidence: tuple[Message, ...] = ()
    identity: str | None = None
    latency_ms: float | None = None

    @property
    def tie(self) -> tuple[Candidate, ...]:
        """The candidates of equal confidence that lead the list, where they are several."""
        first = tuple(c for c in self.candidates if c.confidence == self.candidates[0].confidence)
        return first if len(first) > 1 else ()

    @property
    def best(self) -> Candidate | None:
        """The likeliest candidate, unless others are as likely."""
        return self.candidates[0] if self.candidates and not self.tie else None

    @property
    def sure(self) -> Candidate | None:
        """The same, if it is likelier than not."""
        return self.best if self.best is not None and self.best.confidence >= SURE else None


@dataclass(frozen=True, slots=True)
class FoundLine:
    """Units of one kind behind one port or address.

    ``type``: of the ``[[bus]]`` that reads them. ``port``: a serial port, or ``rfc2217://HOST:PORT``; else ``host`` and
    ``tcp_port``. ``baudrate``, ``parity``, ``stopbits``: of a port.
    """

    type: TypeName
    port: str | None = None
    host: str | None = None
    tcp_port: int | None = None
    baudrate: int | None = None
    parity: str | None = None
    stopbits: int | None = None
    units: tuple[FoundUnit, ...] = ()


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All that a scan found.

    ``diagnosis``: what is wrong with the line, one sentence each; none on a healthy one. ``complete``: it was not
    stopped before its end. ``sent_bytes``: so many bytes were sent.
    """

    lines: tuple[FoundLine, ...] = ()
    diagnosis: tuple[Message, ...] = ()
    complete: bool = True
    elapsed_s: float = 0.0
    sent_bytes: int = 0

    @property
    def units(self) -> tuple[FoundUnit, ...]:
        """Those of all lines."""
        return tuple(unit for line in self.lines for unit in line.units)

    def as_json(self) -> dict[str, Any]:
        """It as JSON can hold it. Each message has its English ``text`` beside its code and facts."""
        return {
            "format": FORMAT,
            "lines": [_line_fields(line) for line in self.lines],
            "diagnosis": _as_fields(self.diagnosis),
            "complete": self.complete,
            "elapsed_s": round(self.elapsed_s, 1),
            "sent_bytes": self.sent_bytes,
        }

    @classmethod
    def of_json(cls, fields: Any) -> ScanResult:
        """The inverse of ``as_json``. Raises BadScanFile."""
        if not isinstance(fields, Mapping) or fields.get("format") != FORMAT:
            raise BadScanFile(Message("scan-file-format", format=FORMAT))
        return cls(
            lines=tuple(_line(line) for line in _list(fields, "lines")),
            diagnosis=_messages(fields, "diagnosis"),
            complete=_of(fields, "complete", bool),
            elapsed_s=float(_of(fields, "elapsed_s", (int, float))),
            sent_bytes=_of(fields, "sent_bytes", int),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a scan is at. ``left_s``: so long it takes from here at most, as far as it can tell; ``new``: a unit that
    was found since the last step."""

    doing: Message
    left_s: float
    new: FoundUnit | None = None


Progress = Callable[[Step], bool]
"""Called with each step; False ends the scan, which gives what it has found so far (``complete`` is False then)."""


def _line_fields(line: FoundLine) -> dict[str, Any]:
    return {
        "type": line.type,
        "port": line.port,
        "host": line.host,
        "tcp_port": line.tcp_port,
        "baudrate": line.baudrate,
        "parity": line.parity,
        "stopbits": line.stopbits,
        "units": [_unit_fields(unit) for unit in line.units],
    }


def _unit_fields(unit: FoundUnit) -> dict[str, Any]:
    return {
        "address": unit.address,
        "protocol": unit.protocol,
        "identity": unit.identity,
        "latency_ms": unit.latency_ms if unit.latency_ms is None else round(unit.latency_ms, 1),
        "evidence": _as_fields(unit.evidence),
        "profile": unit.best.profile if unit.best else None,
        "candidates": [
            {"profile": c.profile, "confidence": c.confidence, "word_order": c.word_order, "why": _as_fields(c.why)}
            for c in unit.candidates
        ],
    }


def _as_fields(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.to_fields() | {"text": str(message)} for message in messages]


def _line(fields: Any) -> FoundLine:
    if not isinstance(fields, Mapping) or fields.get("type") not in [*TYPES]:
        raise BadScanFile(Message("scan-file-key", key="type"))
    line = FoundLine(
        type=cast(TypeName, fields["type"]),
        port=_of(fields, "port", (str, type(None))),
        host=_of(fields, "host", (str, type(None))),
        tcp_port=_of(fields, "tcp_port", (int, type(None))),
        baudrate=_of(fields, "baudrate", (int, type(None))),
        parity=_of(fields, "parity", (str, type(None))),
        stopbits=_of(fields, "stopbits", (int, type(None))),
        units=tuple(_unit(unit) for unit in _list(fields, "units")),
    )
    if (wrong := _unusable(line)) is not None:
        raise BadScanFile(Message("scan-file-key", key=wrong))
    return line


def _unusable(line: FoundLine) -> str | None:
    """The first key of a line that no bus can have."""
    of_network = line.host is not None
    sound = {
        "host": line.host != "" and (of_network or line.type != "modbus-tcp"),
        "port": line.port != "" and (line.port is not None) != of_network,
        "tcp_port": not of_network or line.tcp_port in range(1, 65536),
        "baudrate": line.baudrate is None or line.baudrate > 0,
        "parity": line.parity in (None, "N", "E", "O"),
        "stopbits": line.stopbits in (None, 1, 2),
    }
    return next((key for key, is_sound in sound.items() if not is_sound), None)


def _unit(fields: Any) -> FoundUnit:
    if not isinstance(fields, Mapping) or fields.get("protocol") not in ("modbus", "sunspec", "dlt645"):
        raise BadScanFile(Message("scan-file-key", key="protocol"))
    address = _of(fields, "address", str if fields["protocol"] == "dlt645" else int)
    if not (re.fullmatch(r"[0-9]{12}", address) if isinstance(address, str) else address in range(256)):
        raise BadScanFile(Message("scan-file-key", key="address"))
    identity = _of(fields, "identity", (str, type(None)))
    if identity is not None and not identity.isprintable():
        raise BadScanFile(Message("scan-file-key", key="identity"))
    return FoundUnit(
        address=address,
        protocol=cast(Protocol, fields["protocol"]),
        candidates=tuple(_candidate(one) for one in _list(fields, "candidates")),
        evidence=_messages(fields, "evidence"),
        identity=identity,
        latency_ms=_of(fields, "latency_ms", (int, float, type(None))),
    )


def _candidate(fields: Any) -> Candidate:
    if not isinstance(fields, Mapping):
        raise BadScanFile(Message("scan-file-key", key="candidates"))
    return Candidate(
        profile=_of(fields, "profile", str),
        confidence=float(_of(fields, "confidence", (int, float))),
        why=_messages(fields, "why"),
        word_order=_of(fields, "word_order", (str, type(None))),
    )


def _list(fields: Mapping[str, Any], key: str) -> list[Any]:
    found: list[Any] = _of(fields, key, list)
    return found


def _messages(fields: Mapping[str, Any], key: str) -> tuple[Message, ...]:
    found = tuple(Message.from_fields(one) if isinstance(one, Mapping) else None for one in _list(fields, key))
    if None in found:
        raise BadScanFile(Message("scan-file-key", key=key))
    return tuple(message for message in found if message is not None)


def _of(fields: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """The value of a key. Raises BadScanFile: it is not there, or of another type."""
    value = fields.get(key)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise BadScanFile(Message("scan-file-key", key=key))
    return value
