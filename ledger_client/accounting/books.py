"""Books of a plan: its registers, gauges and coverage, record after record (rules I1, I4, T2). Pure.

The owner who makes a statement and the stranger who recomputes it keep the same books. What both rely on:

1. A book is a function of the plan, the entries and the records in their order: batches by number, leaves within a
   batch. There is no clock, no file and no setting, so the same records give the same bytes. A record that is taken out
   of order, or by one side only, is a difference that nobody can explain from the files.
2. A record is taken once and never again. A register keeps its last look and the edges and breaks so far, a gauge its
   sums; nothing that lies between is kept, so a year of records needs the memory of its hours. Whatever a rule needs
   later has to be decided when the record comes: ``look`` decides here whether two looks give an edge (I2) and
   whether a break lies between them (I4).
3. A register is at most compared with its look before. An exchange, another profile, other ratios or another identity
   of the meter (``event``) breaks that line: the next look is not compared with the last one. Without it the difference
   of two devices' registers would be stated as energy. An exchange with ``since`` breaks nothing: the fall that it
   explains has broken the line already.
4. Coverage is counted once (T2): a coverage record that ends no later than the last one of its meter is of time that is
   covered already, as after a database was put back. Else its polls would be due twice.
5. A coverage record counts for the interval in which it ends; the ``capture`` of a period is a sum over its intervals.
6. After ``forget`` nothing before that moment may be asked for. What later records give does not depend on it.

Entries are judged against each other before (``standings``): what each is, and where it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.standings import judged
from ledger_client.accounting.gauges import Calibration, Gauge
from ledger_client.accounting.registers import Register
from ledger_client.formats.record import EXCHANGE, Coverage, Event
from ledger_client.formats.senml import Reading

CONFIGURATION: Final = "configuration"
SYNCHRONISED: Final = "S"


@dataclass(slots=True)
class Capture:
    """Polls of a meter that were due in a span, and what became of them; ``dense``: how many coverage records call more
    due than the samples of its gauges allow (H1)."""

    due: int = 0
    recorded: int = 0
    missed: dict[str, int] = field(default_factory=dict)
    dense: int = 0

    def add(self, other: Capture | Coverage, dense: int) -> None:
        """Add what was due and recorded in another time, or by a coverage record."""
        self.due += other.due
        self.recorded += other.recorded
        for reason, count in other.missed.items():
            self.missed[reason] = self.missed.get(reason, 0) + count
        self.dense += dense


class Books:
    """Kept for one plan. Owned by one thread."""

    def __init__(self, plan: Plan, entries: Sequence[Entry] = ()) -> None:
        """``entries``: all on the plan, in the order in which they were made."""
        self.plan, self.entries = plan, list(entries)
        self.judged = judged(self.entries, plan)
        self.counting = self.judged.counting
        self._meters = plan.meters
        self.registers: dict[tuple[str, str], Register] = {}
        self.gauges: dict[tuple[str, str], Gauge] = {}
        self._of_meter: dict[str, dict[str, list[Register | Gauge]]] = defaultdict(lambda: defaultdict(list))
        self._least_ms: dict[str, int] = {}
        self._configured: dict[str, Mapping[str, Any]] = {}
        self._captures: dict[str, dict[int, Capture]] = defaultdict(lambda: defaultdict(Capture))
        self._covered_ms: dict[str, int] = {}
        for node in plan.nodes.values():
            for _, name in node.terms:
                if (name, node.regime.id) not in self.registers:
                    point = plan.points[name]
                    register = self.registers[name, node.regime.id] = Register.of(plan, point, node.regime)
                    self._of_meter[point.meter][point.own_name].append(register)
            for name in node.gauges.values():
                if (name, node.regime.id) not in self.gauges:
                    point = plan.points[name]
                    gauge = self.gauges[name, node.regime.id] = Gauge.of(plan, point, node.regime, self._checks(name))
                    self._of_meter[point.meter][point.own_name].append(gauge)
        for point in plan.points.values():
            if point.kind == words.GAUGE:
                self._least_ms[point.meter] = min(point.sample_ms, self._least_ms.get(point.meter, point.sample_ms))

    def beside(self, entries: Sequence[Entry]) -> Books | None:
        """Books of the same records with other entries: what is kept in these is kept in those. None: their gauges are
        calibrated otherwise, and what a gauge keeps depends on that."""
        other = type(self)(self.plan, entries)
        if any(gauge.calibrations != self.gauges[key].calibrations for key, gauge in other.gauges.items()):
            return None
        other.registers, other.gauges, other._of_meter = self.registers, self.gauges, self._of_meter
        other._configured, other._captures, other._covered_ms = self._configured, self._captures, self._covered_ms
        return other

    def keeps_the_same(self, other: Books) -> bool:
        """Whether what is kept in one is kept in the other."""
        return self.registers is other.registers

    def _checks(self, point: str) -> list[Calibration]:
        """The calibrations of a gauge, in the order in which they begin, each where it counts."""
        parts = self.judged.parts_of("calibration", point, "a")
        return sorted(Calibration.of(from_ms, to_ms, entry) for from_ms, to_ms, entry in parts)

    def reading(self, meter: str, clock: str, reading: Reading, record: bytes) -> None:
        """The next reading; ``clock``: the letter of its claims; ``record``: its hash."""
        points = self._of_meter.get(meter)
        if points is None:
            return
        sync = clock == SYNCHRONISED
        for name, content, unit, quality, offset_ms in reading.values:
            for register in points.get(name, ()):
                register.observe(reading.time_ms + offset_ms, content, quality, unit, sync, record)

    def coverage(self, meter: str, coverage: Coverage) -> None:
        """The next coverage record of a meter; one whose time is covered already is left out."""
        if meter not in self._meters or coverage.to_ms <= self._covered_ms.get(meter, -1):
            return
        self._covered_ms[meter] = coverage.to_ms
        least_ms = self._least_ms.get(meter)
        dense = least_ms is not None and coverage.due > -(-(coverage.to_ms - coverage.from_ms) // least_ms)
        self._captures[meter][-(-coverage.to_ms // self.plan.interval_ms)].add(coverage, dense)

    def event(self, meter: str, event: Event) -> None:
        """The next event of a meter, or of the gateway."""
        if event.name == EXCHANGE:
            if "since" not in event.fields:  # it lies behind, where the registers fell
                self._broken(meter)
        elif event.name == CONFIGURATION:
            for name, facts in dict(event.fields.get("meters", {})).items():
                before = self._configured.get(name)
                if before is not None and _reads_otherwise(before, facts):
                    self._broken(name)
                identity = {key: known[key] for known in (before or {}, facts) for key in ("identity",) if key in known}
                self._configured[name] = {**facts, **identity}

    def _broken(self, meter: str) -> None:
        for registers in self._of_meter.get(meter, {}).values():
            for register in registers:
                if isinstance(register, Register):
                    register.broken()

    def without(self, records: Collection[bytes]) -> Books:
        """The same books without some of the entries, kept along with these: they share whatever the entries do not
        change. To be asked for before the first record, where one of the entries is a calibration."""
        lacking = type(self)(self.plan, [entry for entry in self.entries if entry.record not in records])
        for key, gauge in self.gauges.items():
            if lacking.gauges[key].calibrations == gauge.calibrations:
                lacking.gauges[key] = gauge
            else:
                self._of_meter[gauge.point.meter][gauge.point.own_name].append(lacking.gauges[key])
        lacking.registers, lacking._captures, lacking._covered_ms = self.registers, self._captures, self._covered_ms
        return lacking

    def closed_ms(self, node: str) -> int | None:
        """When a node was closed by an entry; None: it was not."""
        closures = (entry.from_ms for entry in self.counting if entry.kind == "closure" and entry.of == node)
        return min(closures, default=None)

    def covered_to_ms(self, meter: str) -> int:
        """Until when the polls of a meter are counted; 0: not at all."""
        return self._covered_ms.get(meter, 0)

    def forget(self, before_ms: int) -> None:
        """The coverage of intervals that end at or before a moment is asked for no more."""
        least = before_ms // self.plan.interval_ms
        for meter, captures in self._captures.items():
            self._captures[meter] = defaultdict(Capture, {n: one for n, one in captures.items() if n > least})

    def capture(self, from_ms: int, to_ms: int) -> dict[str, Capture]:
        """What was due and recorded of each meter, of coverage that ends in (from, to] (T2); both on the grid of the
        interval."""
        found: dict[str, Capture] = {}
        begin, end = from_ms // self.plan.interval_ms, to_ms // self.plan.interval_ms
        for meter, captures in self._captures.items():
            for number, capture in captures.items():
                if begin < number <= end:
                    found.setdefault(meter, Capture()).add(capture, capture.dense)
        return found


def too_dense(captures: Mapping[str, Capture]) -> int:
    """Coverage records that call more due than the samples of the meter's gauges allow (H1)."""
    return sum(capture.dense for capture in captures.values())


def _reads_otherwise(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a meter is another device, or is read in another way: profile, ratios, identity (I4). An identity that is
    not known yet says nothing."""
    if any(before.get(key) != after.get(key) for key in ("profile-hash", "ratios")):
        return True
    return "identity" in before and "identity" in after and before["identity"] != after["identity"]
