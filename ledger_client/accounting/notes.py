"""Notes beside a statement: what its owner should know or enter, each with its rule; they are not signed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ledger_client.accounting.assembly import Assembled, registers_on
from ledger_client.accounting.books import Books
from ledger_client.accounting.counters import jumps_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.entries import Registers
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import status_of
from ledger_client.accounting.formats.standings import CONTRADICTS, ELSEWHERE, REFUSED
from ledger_client.accounting.registers import Register

_SUBSTITUTES: Final[Mapping[str | None, str]] = {
    "EU-45": "EU-45 needs two valid ones in the year, and the concentration alone missing (S2)",
    "CN-HJ75": "CN-HJ75 needs a capture of 75 % and enough valid ones before the gap (S4)",
    None: "the profile has no rule for it (S5)",
}


def notes(books: Books, assembled: Assembled, from_ms: int, to_ms: int) -> tuple[str, ...]:
    """In the order of points, then entries, then nodes; each once."""
    found = [
        *(note for _, register in sorted(books.registers.items()) for note in _of_register(books, register)),
        *(note for _, register in sorted(books.registers.items()) for note in _breaks(books, register, from_ms, to_ms)),
        *_elsewhere(books, from_ms, to_ms),
        *_missing(books.plan, assembled),
    ]
    return tuple(dict.fromkeys(found))


def _of_register(books: Books, register: Register) -> Iterator[str]:
    point = register.point.name
    if register.wraps_unsaid:
        yield f"{point}: {register.wraps_unsaid} times over its largest number, and the plan has no wraps_at (I4)"
    if register.never_timed:
        yield f"{point}: the clock was never synchronised, so no edge is known (I1): set the time by NTP or PTP"


def _breaks(books: Books, register: Register, from_ms: int, to_ms: int) -> Iterator[str]:
    """Breaks in the period that nothing mends, and entries of registers that mend none (I4)."""
    point = register.point.name
    entries = registers_on(books, point)
    jumps = jumps_of(register, entries)
    unknown = sum(jump.kind == words.UNKNOWN and from_ms < jump.time_ms <= to_ms for jump in jumps)
    if unknown:
        yield f"{point}: breaks that no entry mends: {unknown} (I4); enter the last and the first register of each"
    mending = {jump.record for jump in jumps if jump.kind == words.BRIDGED}
    for entry in entries:
        if entry.record not in mending and from_ms < entry.time_ms <= to_ms:
            when = utc_text(entry.time_ms)
            yield f"{point}: the entry of {when} mends nothing (I4): {_misfit(register, entry)}"


def _misfit(register: Register, entry: Registers) -> str:
    """Why an entry does not mend the line."""
    around = [b for b in register.breaks if b.before_ms < entry.time_ms <= b.time_ms]
    if not around or around[0].wrap is not None:
        return "there is no reset, exchange or fall between the readings around it"
    assert register.point.unit is not None
    shown = (around[0].before, around[0].after, entry.final, entry.initial)
    before, after, final, initial = (f"{scaled(milli, MILLI):,f} {register.point.unit.base}" for milli in shown)
    if entry.final < around[0].before:
        return f"its final register {final} is below the last one read, {before}"
    if entry.initial > around[0].after:
        return f"its initial register {initial} is above the first one read, {after}"
    return "it gives more than the point can count in that time (max)"


def _elsewhere(books: Books, from_ms: int, to_ms: int) -> Iterator[str]:
    """Entries that are of another time, or count for nothing though nobody replaced them (P9)."""
    for standing in books.judged.within(from_ms, to_ms):
        entry = standing.entry
        one = f"the entry {entry.kind} of {entry.of} of {utc_text(entry.from_ms)}"
        again = " ".join(f"--replaces {record.hex()}" for record in (entry.record, *standing.by))
        if standing.word == ELSEWHERE:
            yield f"{one} is not of this period (P9): state its own anew"
        elif standing.word == CONTRADICTS:
            yield f"{one} contradicts another, and neither counts there (P9): enter the value anew with {again}"
        elif standing.word == REFUSED and not standing.by:
            yield f"{one} counts for nothing, {standing.why}: enter the value anew with {again}"


def _missing(plan: Plan, assembled: Assembled) -> Iterator[str]:
    for name, node in plan.nodes.items():
        if node.method == words.CEMS and name in assembled.nodes and assembled.nodes[name].lacking:
            yield f"{name}: missing references without a substitute: {_SUBSTITUTES[node.regime.substitution]}"
        elif node.method == words.BY_FUEL and words.MISSING in _statuses(assembled, name):
            yield f"{name}: burnt without an analysis (M6): enter NCV and CC, C_ar, or C_ad with M_ar and M_ad (lab)"


def _statuses(assembled: Assembled, node: str) -> set[str]:
    return {status_of(row) for row in assembled.nodes[node].rows} if node in assembled.nodes else set()
