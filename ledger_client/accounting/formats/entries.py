"""Entries: what somebody states beside the meters, as events ``entry`` bear it (rule P9). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.numbers import milli_of
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.units import counter_unit

_KEYS: Final = ("kind", "of", "from", "to", "values", "unit", "reason", "user", "document", "replaces")
_VALUES: Final[Mapping[str, Sequence[str]]] = {
    "register": ("final", "initial"),
    "calibration": ("a", "b"),
    "value": ("value",),
    "settlement": ("value",),
    "closure": (),
}
"""What an entry of a kind states; ``lab`` states values by the letters of §8."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: of a point or node, for a time, by whom and why.

    ``record``: its hash; ``replaces``: that of an earlier one (None: of none).
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
    replaces: bytes | None


class Registers(NamedTuple):
    """Of an entry of kind register: what the old register showed last and the new one first, in thousandths of the base
    unit, and when."""

    time_ms: int
    final: int
    initial: int
    record: bytes


def parse_entry(fields: Mapping[str, Any], record: bytes = b"") -> Entry:
    """An entry from its event's fields. Raises AccountingError (P9)."""
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
        of.blob("replaces") if "replaces" in of else None,
    )  # fmt: skip


def registers_of(plan: Plan, entry: Entry) -> Registers:
    """Final and initial register of an exchange. Refuses a unit of another kind than the point's."""
    unit, point = counter_unit(entry.unit, "entry.unit"), plan.points[entry.of]
    if point.unit is None or unit.base != point.unit.base:
        Fields(entry.values, "entry", "P9", tuple(entry.values)).refuse("", f"{entry.unit} is no unit of {entry.of}")
    final, initial = milli_of(entry.values["final"], unit.factor), milli_of(entry.values["initial"], unit.factor)
    return Registers(entry.from_ms, final, initial, entry.record)


def in_force(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    """The entries that count, in the order in which they were made, and how many contradict each other (P9).

    Of several of a kind on one thing and time the last counts, if each says that it replaces the one before; else none.
    """
    last: dict[tuple[str, str, int, int], list[Entry]] = {}
    for entry in entries:
        last.setdefault((entry.kind, entry.of, entry.from_ms, entry.to_ms), []).append(entry)
    counting, contradicting = list[Entry](), 0
    for several in last.values():
        if all(after.replaces == before.record for before, after in pairwise(several)):
            counting.append(several[-1])
        else:
            contradicting += 1
    order = {entry.record: place for place, entry in enumerate(entries)}
    return sorted(counting, key=lambda entry: order[entry.record]), contradicting


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
