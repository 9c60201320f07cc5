"""What a comparison found: tallies by meter and fault, examples, and what a reader of them has to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

MOST_EXAMPLES: Final = 10


@dataclass(slots=True)
class Tally:
    """Values of one meter under one fault.

    ``right``: what was true, of them ``right_flagged`` with a quality that is not good. ``faithful_…``: as sent, and
    untrue. ``wrong``: of another question, meter or time, or never sent. ``missing_said``: no value in the readings, or
    counted outside of them; ``missing_unsaid``: neither. ``doubled``: of an answer that stands in a reading already.
    """

    right: int = 0
    right_flagged: int = 0
    faithful_flagged: int = 0
    faithful_unflagged: int = 0
    wrong: int = 0
    missing_said: int = 0
    missing_unsaid: int = 0
    doubled: int = 0

    def add(self, other: Tally) -> None:
        """Add another's."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def faithful(self) -> int:
        """Both kinds."""
        return self.faithful_flagged + self.faithful_unflagged


@dataclass(frozen=True, slots=True)
class Example:
    """A wrong value: where it stands, what was sent at that time (None: nothing), and whose it is."""

    line: int
    time_ms: int
    meter: str
    point: str
    value: str
    sent: str | None
    reason: str


@dataclass(slots=True)
class MeterResult:
    """One meter. ``every_s``: the period of its polls, ``by_log`` where nobody gave it; None: not known, as after a few
    answers alone. ``counted``: missed polls by ``--missed``; None: nothing was counted."""

    every_s: float | None = None
    by_log: bool = False
    counted: int | None = None
    faults: dict[str, Tally] = field(default_factory=dict)
    not_recorded: list[str] = field(default_factory=list)

    def tally(self, fault: str) -> Tally:
        """That of a fault."""
        return self.faults.setdefault(fault, Tally())


@dataclass(slots=True)
class Result:
    """A comparison."""

    within_s: float
    from_ms: float
    to_ms: float
    meters: dict[str, MeterResult] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def meter(self, name: str) -> MeterResult:
        """That of a meter."""
        return self.meters.setdefault(name, MeterResult())

    @property
    def total(self) -> Tally:
        """Of all meters and faults."""
        total = Tally()
        for meter in self.meters.values():
            for tally in meter.faults.values():
                total.add(tally)
        return total

    @property
    def holds(self) -> bool:
        """Nothing is wrong, and nothing is missing that was not said."""
        total = self.total
        return not total.wrong and not total.missing_unsaid

    def as_json(self) -> dict[str, Any]:
        """The answer for ``--json``."""
        total = self.total
        return {
            "holds": self.holds,
            **asdict(total),
            "faithful": total.faithful,
            "within_s": self.within_s,
            "log_from_ms": round(self.from_ms),
            "log_to_ms": round(self.to_ms),
            "wrong_by": dict(sorted(self.reasons.items())),
            "meters": [_meter(name, meter) for name, meter in sorted(self.meters.items())],
            "examples": [asdict(example) for example in self.examples],
            "notes": self.notes,
        }


def _meter(name: str, meter: MeterResult) -> dict[str, Any]:
    return {
        "meter": name,
        "every_s": meter.every_s,
        "every_by": None if meter.every_s is None else "log" if meter.by_log else "option",
        "counted": meter.counted,
        "faults": [
            {"fault": fault, **asdict(tally)} for fault, tally in sorted(meter.faults.items(), key=_clean_first)
        ],
        "not_recorded": meter.not_recorded,
    }


def _clean_first(entry: tuple[str, Tally]) -> tuple[bool, str]:
    return entry[0] != "none", entry[0]


_COLUMNS: Final[Mapping[str, str]] = {
    "right": "right", "right_flagged": "(flagged)", "faithful_flagged": "faithful, flagged",
    "faithful_unflagged": "faithful", "wrong": "wrong", "missing_said": "missing, said",
    "missing_unsaid": "missing", "doubled": "doubled",
}  # fmt: skip


def in_words(result: Result) -> str:
    """A table by meter and fault, the wrong values, and the notes."""
    rows = [["meter", "fault", *_COLUMNS.values()]]
    for name, meter in sorted(result.meters.items()):
        for fault, tally in sorted(meter.faults.items(), key=_clean_first):
            rows.append([name, fault, *(str(getattr(tally, column)) for column in _COLUMNS)])
    rows.append(["all", "", *(str(getattr(result.total, column)) for column in _COLUMNS)])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [_row(row, widths) for row in rows]
    if result.reasons:
        lines += ["", "wrong: " + ", ".join(f"{count} {_WORDS[why]}" for why, count in sorted(result.reasons.items()))]
        lines += [_example(example) for example in result.examples]
    lines += ["", *(f"note: {note}" for note in result.notes)] if result.notes else []
    return "\n".join(lines)


_WORDS: Final = {
    "question": "of another question",
    "meter": "of another meter",
    "time": "of another time",
    "not-available": "where the meter sent that it has none",
    "unsent": "never sent",
    "outside": "outside of the log's time",
}


def _row(row: list[str], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if n < 2 else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _example(example: Example) -> str:
    sent = "nothing was sent" if example.sent is None else f"{example.sent} was sent"
    where = f"  line {example.line}: {example.meter} {example.point} {example.value}"
    return f"{where}: {_WORDS[example.reason]}; {sent}"
