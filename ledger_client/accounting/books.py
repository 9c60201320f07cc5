"""Books of a plan: what records say of its registers, in the order of batches and leaves (rules I1, I4, T2). Pure.

The same books are kept by who states and by who recomputes; they hold edges and breaks, not what lies between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.accounting import words
from ledger_client.accounting.plan import Plan
from ledger_client.accounting.registers import Register
from ledger_client.formats.record import Coverage, Event
from ledger_client.formats.senml import Reading

CONFIGURATION: Final = "configuration"
SYNCHRONISED: Final = "S"


@dataclass(slots=True)
class Capture:
    """What was due of a meter in a period, and what became of it."""

    due: int = 0
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)


class Books:
    """Kept for one plan. Owned by one thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.registers: dict[tuple[str, str], Register] = {}
        self._of_meter: dict[str, dict[str, list[Register]]] = defaultdict(lambda: defaultdict(list))
        self._configured: dict[str, Mapping[str, Any]] = {}
        self._coverages: dict[str, list[Coverage]] = defaultdict(list)
        for node in plan.nodes.values():
            for _, name in node.terms:
                if (name, node.regime.id) not in self.registers:
                    point = plan.points[name]
                    register = self.registers[name, node.regime.id] = Register.of(plan, point, node.regime)
                    self._of_meter[point.meter][name.partition("/")[2]].append(register)

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
        """The next coverage record of a meter; one that is told again is left out."""
        told = self._coverages[meter]
        if meter in self.plan.meters and (not told or coverage.to_ms > told[-1].to_ms):
            told.append(coverage)

    def event(self, meter: str, event: Event) -> None:
        """The next event of a meter, or of the gateway."""
        if event.name == words.EXCHANGE:
            self._broken(meter)
        elif event.name == CONFIGURATION:
            for name, facts in dict(event.fields.get("meters", {})).items():
                before = self._configured.get(name)
                if before is not None and _reads_otherwise(before, facts):
                    self._broken(name)
                self._configured[name] = {**(before or {}), **facts}

    def _broken(self, meter: str) -> None:
        for registers in self._of_meter.get(meter, {}).values():
            for register in registers:
                register.broken()

    def covered_to_ms(self, meter: str) -> int:
        """Until when the polls of a meter are counted; 0: not at all."""
        told = self._coverages.get(meter)
        return told[-1].to_ms if told else 0

    def capture(self, from_ms: int, to_ms: int) -> dict[str, Capture]:
        """What was due and recorded of each meter, of coverage that ends in (from, to] (T2)."""
        found: dict[str, Capture] = {}
        for meter, told in self._coverages.items():
            within = [coverage for coverage in told if from_ms < coverage.to_ms <= to_ms]
            if within:
                capture = found[meter] = Capture()
                for coverage in within:
                    capture.due += coverage.due
                    capture.recorded += coverage.recorded
                    capture.missed.update(coverage.missed)
        return found


def _reads_otherwise(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a meter is another device, or is read in another way: profile, ratios, identity (I4). An identity that is
    not known yet says nothing."""
    if any(before.get(key) != after.get(key) for key in ("profile-hash", "ratios")):
        return True
    return "identity" in before and "identity" in after and before["identity"] != after["identity"]
