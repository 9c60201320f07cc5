"""View of a scan: what it is at and how long it takes, each device when it is found, and at the end all of it."""

from __future__ import annotations

import json
import sys

import click
from rich.table import Table

from gateway.cli.terminal.common import out
from gateway.commissioning.scan.bus_toml import bus_sections
from gateway.commissioning.scan.folder_profiles import label
from gateway.commissioning.scan.found import FoundLine, FoundUnit, ScanResult, Step
from ledger_client.messages import Fact


class ScanView:
    """``tell`` shows a step on standard error, ``end`` the result on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._width = as_json, 0
        self._phase: tuple[str, Fact | None] = "", None
        self._redraws = sys.stderr.isatty()

    def tell(self, step: Step) -> None:
        """Show it: on a terminal in one line that is drawn anew, else each phase once."""
        if step.new is not None:
            self._clear()
            click.echo(f"found {step.new.address}: {_what(step.new)}", err=True)
        if self._redraws:
            text = f"{step.doing}, {_time(step.left_s)} left at most"
            click.echo("\r" + text.ljust(self._width), err=True, nl=False)
            self._width = len(text)
        elif (phase := (step.doing.code, step.doing.facts.get("settings"))) != self._phase:
            self._phase = phase
            click.echo(f"{step.doing}, {_time(step.left_s)} left at most", err=True)

    def end(self, result: ScanResult) -> None:
        """Show all that was found, what is wrong, and the sections for gateway.toml."""
        self._clear()
        if self._as_json:
            click.echo(json.dumps(result.as_json()))
            return
        if result.units:
            table = Table("line", "address", "profile", "sure", "serial number", "answers after", box=None)
            for line in result.lines:
                for unit in line.units:
                    table.add_row(_where(line), str(unit.address), *_row(unit))
            out.print(table)
            for line in result.lines:
                for unit in line.units:
                    for sentence in (*unit.evidence, *(w for c in unit.candidates[:1] for w in c.why)):
                        click.echo(f"{unit.address}: {sentence.problem}")
        else:
            click.echo("no device was found")
        for sentence in result.diagnosis:
            click.echo(f"\n{sentence}")
        if not result.complete:
            click.echo("\nThe scan did not come to its end; there may be more.")
        if sections := bus_sections(result):
            click.echo(f"\n# for gateway.toml\n\n{sections}", nl=False)

    def _clear(self) -> None:
        if self._width:
            click.echo("\r" + " " * self._width + "\r", err=True, nl=False)
            self._width = 0


def _where(line: FoundLine) -> str:
    if line.port is not None:
        return f"{line.baudrate} 8{line.parity}{line.stopbits}"
    return f"{line.host}:{line.tcp_port}"


def _row(unit: FoundUnit) -> tuple[str, str, str, str]:
    best = unit.best
    latency = "" if unit.latency_ms is None else f"{unit.latency_ms:.0f} ms"
    sure = f"{unit.candidates[0].confidence:.0%}" if unit.candidates else ""
    return (_what(unit), sure if best or unit.tie else "", unit.identity or "", latency)


def _what(unit: FoundUnit) -> str:
    if unit.best is not None:
        return label(unit.best.profile)
    if unit.tie:
        return " or ".join(label(candidate.profile) for candidate in unit.tie)
    return "a device answers"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
