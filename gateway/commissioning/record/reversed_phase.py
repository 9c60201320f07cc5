"""Phase that looks reversed on a meter whose commissioning record does not say why. Reads the record only then."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from pathlib import Path

from gateway.devices.knowledge.phases import PHASES, reversed_phases
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.storage.database import Database
from gateway.verdicts import verdict
from ledger_client.formats.senml import Value


def unexplained_phase(data: Path, store: Database | None, meter: str, values: Iterable[Value]) -> Message | None:
    """The phase of a meter whose power runs against that of both others, where nobody has said why that is right.

    Args:
        data: the data folder, where a record may wait to be signed.
        store: None where there is no database yet.
        values: of one reading of the meter; those that are bad or missing do not count.

    Raises StoreError.
    """
    powers = {value.name: value for value in values if value.name in PHASES.values() and _counts(value)}
    found = reversed_phases({name: value.value for name, value in powers.items()})  # type: ignore[misc]  # numbers
    if not found or _explained(data, store, meter):
        return None
    shown = tuple(f"{phase} {_power(powers[point])}" for phase, point in PHASES.items())
    return Message("reversed-phase", meter=meter, phase=found[0], powers=shown)


def _counts(value: Value) -> bool:
    number = value.value
    return (
        isinstance(number, int | float | Decimal)
        and not isinstance(number, bool)
        and isfinite(number)
        and verdict(value.quality) not in ("bad", "missing")
    )


def _explained(data: Path, store: Database | None, meter: str) -> bool:
    from gateway.commissioning.record import submit  # most commands that ask for a phase never come here
    from gateway.commissioning.record.in_force import in_force

    try:
        return bool(submit.read(submit.waiting_path(data, meter)).reversed_phase)
    except (OSError, GatewayError):  # none waits that can be read: the signed one counts
        signed = in_force(store, meter) if store is not None else None
        return signed is not None and bool(signed.record.reversed_phase)


def _power(value: Value) -> str:
    from gateway.commissioning.record.rows import plain  # as above

    assert value.value is not None
    return f"{plain(value.value)} {value.unit or ''}".strip()
