"""Everything that a person, not a meter, supplied to the statements of a gateway, one line each. Pure.

Plans with what each changes, profiles and factors as plans bear them, entries: what they say, who signed them and when,
when enough ledgers had them, their documents, whether they count, and what the totals would be without them. None of
this is in the bytes of a statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.standings import CONTRADICTS, COUNTS, ELSEWHERE, REFUSED, REPLACED

PLAN, PROFILE, FACTOR = "plan", "profile", "factor"
"""Kinds of inputs besides those of entries."""
NOT_STATED: Final = "not stated"
"""What becomes of an entry that no last version of a statement cites, besides the words of ``Standing``."""
_BEST: Final = (COUNTS, CONTRADICTS, REPLACED, REFUSED, ELSEWHERE)


class Signed(NamedTuple):
    """A record that bears an input: its hash, when it was signed (s), and when enough ledgers had it (s; None: they do
    not)."""

    record: bytes
    signed_s: int
    ledgers_s: int | None


class Effect(NamedTuple):
    """What an entry does to a node of a statement: the total, and what it would be without the entry, in thousandths of
    the base unit (None: it has none). ``from_ms``, ``to_ms``: of the statement."""

    statement: bytes
    from_ms: int
    to_ms: int
    node: str
    total: int | None
    without: int | None


@dataclass(frozen=True, slots=True)
class Input:
    """One input. ``of``: what it is about; ``values``: what it says, as text; ``changes``: of a plan, what it says
    otherwise than the one before; ``file``: where its document is (None: not here); ``standing``: what becomes of it.
    """

    gateway: str
    plan: str
    kind: str
    of: str
    from_ms: int
    to_ms: int | None
    values: Mapping[str, str]
    changes: tuple[str, ...]
    signed: Signed
    user: str | None
    reason: str | None
    document: bytes | None
    file: str | None
    standing: str
    effects: tuple[Effect, ...] = ()


def plans_listed(gateway: str, plans: Sequence[tuple[Plan, Signed]]) -> Iterator[Input]:
    """The plans of a gateway in the order in which they were signed, each with what it changes, and with the profiles
    and factors that no plan before it bore so."""
    before: dict[str, Plan] = {}
    known = set[tuple[str, str, str]]()
    for plan, signed in plans:
        last = before.get(plan.name)
        changes = tuple(changed(last.fields, plan.fields)) if last is not None else ()
        stated = {"version": str(plan.version), "nodes": ", ".join(sorted(plan.nodes)), "disclosure": plan.disclosure}
        reasons = {f"reason of {node.name}": node.reason for node in plan.nodes.values() if node.reason is not None}
        unused = {f"unused {meter}": why for meter, why in plan.unused.items()}
        yield _of_plan(gateway, plan, signed, PLAN, plan.name, {**stated, **reasons, **unused}, changes)
        before[plan.name] = plan
        borne = [(PROFILE, name, plan.fields["profiles"][name]) for name in sorted(plan.regimes)]
        borne += [(FACTOR, str(factor["id"]), factor) for factor in plan.fields["factors"]]
        for kind, name, of in borne:
            if (key := (kind, name, text_of(of))) not in known:
                known.add(key)
                yield _of_plan(gateway, plan, signed, kind, name, {str(k): text_of(v) for k, v in of.items()}, ())


def _of_plan(
    gateway: str, plan: Plan, signed: Signed, kind: str, of: str, values: Mapping[str, str], changes: tuple[str, ...]
) -> Input:
    return Input(
        gateway, plan.name, kind, of, plan.from_ms, None, values, changes, signed, None, None, None, None, COUNTS
    )


def entry_listed(
    gateway: str,
    plan: str,
    entry: Entry,
    signed: Signed,
    documents: Mapping[bytes, str],
    standings: Sequence[str],
    effects: Sequence[Effect],
) -> Input:
    """An entry.

    Args:
        plan: the name of the plan that it is on; "": of none in the files.
        documents: the files that were given, by SHA-256.
        standings: what becomes of it in each statement that cites it.
        effects: what it does in each where it counts.
    """
    values = {name: text_of(number) for name, number in entry.values.items()}
    if entry.unit is not None:
        values["unit"] = entry.unit
    if entry.fault is not None:
        values["refused"] = entry.fault
    file = documents.get(entry.document) if entry.document is not None else None
    standing = next((word for word in _BEST if word in standings), NOT_STATED)
    return Input(
        gateway, plan, entry.kind, entry.of, entry.from_ms, entry.to_ms, values, (), signed, entry.user, entry.reason,
        entry.document, file, standing, tuple(effects),
    )  # fmt: skip


def changed(before: object, after: object, where: str = "") -> Iterator[str]:
    """What two plans say otherwise, one line each with its place."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}, key=str):
            yield from changed(before.get(key), after.get(key), f"{where}.{key}" if where else str(key))
    elif text_of(before) != text_of(after):
        yield f"{where}: {text_of(before)} → {text_of(after)}"


def text_of(value: Any) -> str:
    """A value of a plan or an entry as text; — for none."""
    if value is None:
        return "—"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {text_of(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value))
    return format(value, "f") if isinstance(value, Decimal) else str(value)
