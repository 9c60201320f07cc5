"""View of an overheard line: each exchange as it happens, and at the end how often each question was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click

from gateway.fieldbus.listening.overhear import Overheard
from gateway.fieldbus.wire.source import Wrote


@dataclass(slots=True)
class _Asked:
    """One question of the other master."""

    unit: int
    label: str
    asked: int = 0
    taken: int = 0
    latencies_ms: list[float] = field(default_factory=list)


class OverheardView:
    """``tell`` prints one exchange or write, ``end`` the rates."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._begun = as_json, time.monotonic()
        self._asked: dict[tuple[int, str], _Asked] = {}
        self._writes = 0

    def tell(self, heard: Overheard | Wrote) -> None:
        """Print it."""
        if isinstance(heard, Wrote):
            self._writes += 1
            self._print_write(heard)
            return
        label = str(heard.block.label())
        asked = self._asked.setdefault((heard.unit, label), _Asked(heard.unit, label))
        asked.asked += 1
        if heard.why is None:
            asked.taken += 1
            asked.latencies_ms.append(heard.latency_ms)
            del asked.latencies_ms[:-100]
        if self._as_json:
            block = heard.block
            _print_json(
                time=heard.at_ms, unit=heard.unit, function=block.fc, address=block.address, count=block.count,
                latency_ms=round(heard.latency_ms, 1), words=list(heard.words),
                values={name: value for name, (value, _) in heard.values.items()},
                error=None if heard.why is None else str(heard.why),
            )  # fmt: skip
            return
        content = f"not taken: {heard.why}" if heard.why is not None else _words(heard.words)
        values = ", ".join(f"{name} {value} {unit}".strip() for name, (value, unit) in heard.values.items())
        text = f"{_clock(heard.at_ms)}  unit {heard.unit}, {label}  {heard.latency_ms:.0f} ms  {content}"
        click.echo(f"{text}  {values}" if values else text)

    def end(self) -> None:
        """Print how often each question was asked, and how many of its answers were taken."""
        minutes = max(time.monotonic() - self._begun, 0.001) / 60
        for asked in sorted(self._asked.values(), key=lambda one: (one.unit, one.label)):
            latency_ms = sorted(asked.latencies_ms)[len(asked.latencies_ms) // 2] if asked.latencies_ms else None
            if self._as_json:
                _print_json(
                    unit=asked.unit, question=asked.label, asked=asked.asked, taken=asked.taken,
                    per_minute=round(asked.asked / minutes, 1), latency_ms=latency_ms and round(latency_ms, 1),
                )  # fmt: skip
                continue
            typical = f", {latency_ms:.0f} ms" if latency_ms is not None else ""
            rate = f"{asked.asked} times ({asked.asked / minutes:.1f} a minute)"
            click.echo(f"unit {asked.unit}, {asked.label}: asked {rate}, {asked.taken} answers taken{typical}")
        if not self._as_json and not self._asked:
            click.echo("no question of another master was heard")

    def _print_write(self, wrote: Wrote) -> None:
        if self._as_json:
            _print_json(time=wrote.at_ms, unit=wrote.unit, function=wrote.function, address=wrote.address, write=True)
        else:
            where = f"function {wrote.function}, from {wrote.address}"
            click.echo(f"{_clock(wrote.at_ms)}  unit {wrote.unit}, {where}  WRITE")


def _print_json(**fields: object) -> None:
    click.echo(json.dumps(fields, default=str))


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _words(words: Sequence[int]) -> str:
    """Registers in hexadecimal; bits as they are."""
    return " ".join(f"{word:04X}" for word in words)
