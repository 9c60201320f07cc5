"""Audit of devices: one device at two meters, and commissioning records unlike the configuration in force. No I/O.

Nothing of it is a fault by itself: a device may be read under two names, and moved. Who knows the site can tell.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.audit.changes import Changes
from ledger_client.audit.events import Fields, by_hand, commissioning, identity_of
from ledger_client.audit.notes import Kind
from ledger_client.audit.records import Name
from ledger_client.audit.result import Audit
from ledger_client.formats.record import COMMISSIONED, EXCHANGE, Event, is_commissioning_record

_NUMBERS: Final = "serial", "number", "id"
"""How the names of those parts of an identity end that tell one device from others: ``serial_number=4711``."""


@dataclass(slots=True)
class Devices:
    """The devices of one gateway's meters, in order."""

    result: Audit
    changes: Changes
    _at: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By number the meter that it was first seen at, and where."""
    _noted: set[tuple[str, str]] = field(default_factory=set)
    _waiting: list[tuple[Name, Fields]] = field(default_factory=list)
    """Commissioning records of meters of which no configuration is known yet."""
    _seen: set[Name] = field(default_factory=set)

    def event(self, event: Event, name: Name) -> None:
        """An event of a meter that says which device it is. Exchanges are counted. Raises ``Malformed``."""
        if name in self._seen:  # a proof of a record that stands in a batch, too
            return
        self._seen.add(name)
        identity = identity_of(event.fields)
        self._stands(name.meter, identity, str(name))
        plate = event.fields.get("plate")
        if isinstance(plate, str):
            self._is_at(plate, name.meter, f"{plate} by its plate", str(name))
        if event.name == EXCHANGE:
            self.changes.exchanged(name.meter, identity or "")
            self._exchanged(event, name)
        elif event.name == COMMISSIONED and is_commissioning_record(event):
            self._waiting.append((name, commissioning(event.fields)))
            self.compare()
        elif identity:
            self.changes.first_identity(name.meter, identity)

    def configured(self, config: bytes, meters: Mapping[str, Mapping[str, Any]], at: str, name: Name, iat: int) -> None:
        """A whole configuration, as ``Changes.configured``."""
        self.changes.configured(config, meters, at, name, iat)
        for meter, facts in sorted(meters.items()):
            self._stands(meter, facts["identity"], str(name))
        if self._waiting:
            self.compare()

    def _exchanged(self, event: Event, name: Name) -> None:
        """One by hand is to be known, for no device shows it."""
        account = self.result.account(name.meter)
        account.exchanged += 1
        if by_hand(event.fields):
            account.exchanged_by_hand += 1
            who = " / ".join(f"{event.fields[key]}" for key in ("by", "user") if key in event.fields) or "nobody"
            why = event.fields.get("reason", "without a reason")
            text = f"{name}: meter {name.meter} was exchanged by hand, says {who}: {why}"
            self.result.noted(text, Kind.BY_HAND, name.meter)

    def _stands(self, meter: str, identity: str | None, where: str) -> None:
        for number in _numbers(identity or ""):
            self._is_at(number, meter, identity or "", where)

    def _is_at(self, number: str, meter: str, words: str, where: str) -> None:
        key = _folded(number)
        other, since = self._at.setdefault(key, (meter, where))
        if other != meter and (key, meter) not in self._noted:
            self._noted.add((key, meter))
            text = f"{where}: meter {meter} is {_plain(words)}, and meter {other} is or was, too, by {since}"
            self.result.noted(text, Kind.DEVICE)

    def compare(self) -> None:
        """The commissioning records of meters whose configuration is known by now."""
        waiting, self._waiting = self._waiting, []
        for name, record in waiting:
            known = self.changes.of(name.meter)
            if not known:
                self._waiting.append((name, record))
                continue
            for what, recorded, now in _unlike(record, known):
                text = f"{what} {_plain(recorded)} by its commissioning record {name}, {_plain(now)} as configured"
                self.result.noted(f"meter {name.meter}: {text}", Kind.COMMISSIONED, f"{name.meter} {what}")
            if identity := record["identity"]:
                self.changes.first_identity(name.meter, identity)


def _unlike(record: Fields, known: Fields) -> Iterator[tuple[str, Any, Any]]:
    """What a commissioning record says otherwise than the configuration: field, recorded, configured."""
    for what in ("role", "profile", "profile-hash", "reversed"):
        if record[what] != known[what]:
            yield what, record[what], known[what]
    ratios = {**known["ratios-compared"], **known["ratios"]}
    if record["ratios"] != ratios:
        yield "ratios", record["ratios"], ratios
    if record["identity"] and known["identity"] and record["identity"] != known["identity"]:
        yield "identity", record["identity"], known["identity"]


def _numbers(identity: str) -> set[str]:
    """What tells the device from others: its numbers, or all that it says where it names none."""
    parts = [part.partition("=") for part in identity.split(", ")]
    numbers = {value for key, _, value in parts if key.strip().lower().endswith(_NUMBERS) and value.strip()}
    return numbers or ({identity} if identity else set())


def _folded(text: str) -> str:
    """Letters and digits alone: neither case nor width, spaces, dashes nor leading zeros make another number."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in plain if char.isalnum()).lstrip("0") or "0"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {one}" for key, one in sorted(value.items())) or "none"
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return str(value).encode("ascii", "backslashreplace").decode()
