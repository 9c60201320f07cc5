"""Entries: what somebody states beside the meters, as events ``entry`` bear it (rule P9). Pure.

``parse_entry`` says what may be signed. What was signed all the same is read by ``read_entry``: a value that cannot be
makes no error there but a ``fault``, with which the entry counts for nothing (``standings``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.letters import letter_fault
from ledger_client.accounting.formats.numbers import milli_of
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.units import COUNTER_UNITS, counter_unit

_KEYS: Final = ("kind", "of", "from", "to", "values", "unit", "reason", "user", "document", "replaces")
_VALUES: Final[Mapping[str, Sequence[str]]] = {
    "register": ("final", "initial"),
    "calibration": ("a", "b"),
    "value": ("value",),
    "settlement": ("value",),
    "closure": (),
}
"""What an entry of a kind states; ``lab`` states values by the letters of M6."""
_WITH_UNIT: Final = ("register", "value", "settlement")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: of a point or node, for a time, by whom and why.

    ``record``: its hash; ``replaces``: those of earlier ones; ``fault``: why it counts for nothing, whatever else there
    is (None: it may count).
    """

    record: bytes
    kind: str
    of: str
    from_ms: int
    to_ms: int
    values: Mapping[str, Any]
    unit: str | None
    reason: str
    user: str
    document: bytes | None
    replaces: tuple[bytes, ...]
    fault: str | None = None


class Registers(NamedTuple):
    """Of an entry of kind register: what the old register showed last and the new one first, in thousandths of the base
    unit, and when."""

    time_ms: int
    final: int
    initial: int
    record: bytes


def parse_entry(fields: Mapping[str, Any], record: bytes = b"") -> Entry:
    """An entry that may be signed, from its event's fields. Raises AccountingError (P9, M6)."""
    entry = _formed(fields, record)
    if (fault := _fault(entry)) is not None:
        raise fault
    return entry


def read_entry(fields: Mapping[str, Any], record: bytes = b"") -> Entry:
    """An entry as it was signed: one with a value that cannot be has a ``fault``. Raises AccountingError where it is no
    entry at all (P9)."""
    entry = _formed(fields, record)
    fault = _fault(entry)
    return entry if fault is None else replace(entry, fault=str(fault.sentence))


def _formed(fields: Mapping[str, Any], record: bytes) -> Entry:
    of = Fields(fields, "entry", "P9", _KEYS)
    kind = of.choice("kind", words.ENTRY_KINDS)
    values = Fields(of.table("values"), "entry.values", "P9", _VALUES.get(kind) or tuple(of.table("values")))
    for key in _VALUES.get(kind, tuple(values.of)):
        values.number(key)
    from_ms, to_ms = of.uint("from"), of.uint("to")
    if from_ms > to_ms or (kind == "register" and from_ms != to_ms):
        of.refuse("to", "an entry of registers is of one moment" if kind == "register" else "it is before `from`")
    return Entry(
        record, kind, of.text("of"), from_ms, to_ms, values.of,
        of.text("unit") if "unit" in of else None,
        of.text("reason"), of.text("user"),
        of.blob("document") if "document" in of else None,
        _replaces(of),
    )  # fmt: skip


def _replaces(of: Fields) -> tuple[bytes, ...]:
    """A hash, or a list of them, each once."""
    if "replaces" not in of:
        return ()
    if type(of.of["replaces"]) is bytes:
        return (of.blob("replaces"),)
    found = of.items("replaces", 1)
    if any(type(one) is not bytes or len(one) != 32 for one in found) or len(set(found)) != len(found):
        of.refuse("replaces", "it is neither a byte string of 32 bytes nor a list of them, each once")
    return tuple(found)


def _fault(entry: Entry) -> AccountingError | None:
    """A value that cannot be, or a unit that is none."""
    if entry.kind in _WITH_UNIT and entry.unit not in COUNTER_UNITS:
        units = ", ".join(COUNTER_UNITS)
        return AccountingError("P9", "entry.unit", f"it is {entry.unit!r}", f"give one of {units}")
    if entry.kind == "value" and entry.values["value"] <= 0:
        problem = f"it is {entry.values['value']}: a substitute is above 0"
        return AccountingError("P9", "entry.values.value", problem, "leave the interval missing, or give its mass")
    if entry.kind == "calibration" and entry.values["b"] <= 0:
        problem = f"it is {entry.values['b']}: no gauge reads less where there is more"
        return AccountingError("P9", "entry.values.b", problem, "give a and b of the corrected value a + b·x")
    if entry.kind == "lab" and not entry.values:
        return AccountingError("M6", "entry.values", "there is none", "give the letters of the analysis")
    for letter, number in entry.values.items() if entry.kind == "lab" else ():
        if (found := letter_fault(letter, number)) is not None:
            problem, way_out = found
            return AccountingError("M6", f"entry.values.{letter}", problem, way_out)
    return None


def unit_fault(plan: Plan, entry: Entry) -> AccountingError | None:
    """Why an entry's unit is none of what it is of: energy, mass or volume (P9). None: it is, or it needs none."""
    unit, base = COUNTER_UNITS.get(entry.unit or ""), plan.base_of(entry.of)
    if entry.kind not in _WITH_UNIT or unit is None or unit.base == base:
        return None
    known = [name for name, one in COUNTER_UNITS.items() if one.base == base]
    problem = f"{entry.unit} is no unit of {entry.of}{f', which is in {base}' if base else ''}"
    way_out = f"give one of {', '.join(known)}" if known else "name a counter or a node"
    return AccountingError("P9", "entry.unit", problem, way_out)


def registers_of(entry: Entry) -> Registers:
    """Final and initial register of an exchange, of an entry whose unit is the point's kind."""
    factor = counter_unit(entry.unit, "entry.unit").factor
    final, initial = milli_of(entry.values["final"], factor), milli_of(entry.values["initial"], factor)
    return Registers(entry.from_ms, final, initial, entry.record)


def cited(
    entries: Iterable[tuple[int, Entry]], plan: Plan, first: int, last: int, before: Mapping[str, Any] | None
) -> list[Entry]:
    """The entries on a plan that count for a statement (P9).

    Args:
        entries: each with its place: a batch, or a place in the commit order.
        first: the first place that the statement cites.
        last: the last one.
        before: the fields of the statement before; its entries that end after it count, too, and closures, which have
            no end.
    """
    named, ends_ms = (set(before.get("entries", ())), before.get("to", 0)) if before else (set(), 0)
    return [
        entry
        for place, entry in entries
        if plan.concerns(entry.of)
        and (first <= place <= last or (entry.record in named and (entry.kind == "closure" or entry.to_ms > ends_ms)))
    ]
