"""Command ``compare``: what a gateway has recorded, beside what the simulated meters sent."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

import click

from firmware_sim.cli.refusals import refusing

FILE = click.Path(path_type=Path)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_MS: Final = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "h": 3_600_000}
MOST_WITHIN_MS: Final = 60_000


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """Text such as ``2s``, ``500ms``, ``1m`` or a number of seconds → ms, above 0 and at most ``most_ms``."""

    name = "duration"

    def __init__(self, most_ms: float) -> None:
        self._most_ms = most_ms

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(str(value))
        ms = float(match[1]) * _MS[match[2]] if match else 0.0
        if not 0 < ms <= self._most_ms:
            self.fail(f"{value!r} is no time above 0 and up to {self._most_ms / 1000:g}s, as 2s or 500ms", param, ctx)
        return ms


class Every(click.ParamType):  # type: ignore[type-arg]
    """``METER=S`` or ``METER/POINT=S`` → name and ms."""

    name = "METER=S"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, _, period = str(value).rpartition("=")
        if not name:
            self.fail(f"{value!r} is not METER=S, as export-main=5", param, ctx)
        return name, Duration(7 * 86_400_000).convert(period, param, ctx)


@click.command()
@click.argument("log", type=FILE)
@click.argument("readings", type=FILE)
@click.option("--every", type=Every(), multiple=True, help="How often METER is due to be read.  [as the log has it]")
@click.option("--map", "names", type=FILE, help="TOML with the names of READINGS, and factors to the log's units.")
@click.option(
    "--within", type=Duration(MOST_WITHIN_MS), default="2s", show_default=True, help="How far times may differ."
)
@click.option("--missed", type=FILE, help="Polls counted as missed: CSV (meter,polls), or an audit's JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def compare(
    log: Path,
    readings: Path,
    every: tuple[tuple[str, float], ...],
    names: Path | None,
    within: float,
    missed: Path | None,
    as_json: bool,
) -> None:
    """Compare a gateway's READINGS with the LOG of what was sent.

    Exit 1 if a value is wrong, or one is missing and nothing says so.
    """
    from firmware_sim.compare.run import Wanted
    from firmware_sim.compare.run import compare as compared
    from firmware_sim.compare.tallies import in_words

    with refusing():
        result = compared(Wanted(log, readings, dict(every), within, names, missed))
    click.echo(json.dumps(result.as_json(), ensure_ascii=False) if as_json else in_words(result))
    sys.exit(0 if result.holds else 1)
