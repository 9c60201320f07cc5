"""Command `meterseal readings`: the newest readings as text or JSON, or those of any period as a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.api.shapes.reading_lines import ReadingLines
from gateway.api.shapes.reading_writers import Writer
from gateway.cli.readings_view import print_readings
from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable, no_meter, open_store, out
from gateway.cli.terminal.times import TIME, time_ms
from gateway.errors import GatewayError, output_to
from gateway.history import value_lines
from gateway.history.export_files import FORMATS, WRITERS, are_readings
from gateway.history.export_wide import WideCsvWriter
from gateway.history.point_columns import columns_of, demand_points
from gateway.history.value_lines import FOR_EVER_MS, Tally, Wanted, of_row
from gateway.messages.message import Message
from gateway.process.console import console
from gateway.status.readings import recorded_values
from ledger_client.durable_files import whole_file
from ledger_client.times import rfc3339_ms

LAST = 3


class Points(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """Names of points, separated by commas, each once."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
        if not all(names):
            self.fail(f"{value!r} has an empty name between its commas", param, ctx)
        return names


@click.command()
@CONFIG
@click.argument("meters", metavar="METER...", nargs=-1)
@click.option("-n", "--last", "count", type=click.IntRange(1), help=f"Number of readings.  [default: {LAST}]")
@click.option("--from", "begin", type=TIME, help="Start time: RFC 3339, time of the site, or -24h.")
@click.option("--to", "end", type=TIME, help="End time, exclusive.")
@click.option("--points", type=Points(), help="Only these points.")
@click.option("--wide", is_flag=True, help="CSV with a row a reading and a column a point.")
@click.option("--format", "form", type=click.Choice(["table", "json", *FORMATS]), help="[default: by FILE, else table]")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write readings to FILE.")
@FORCE
@JSON
def readings(
    config_path: Path,
    meters: tuple[str, ...],
    count: int | None,
    begin: str | None,
    end: str | None,
    points: tuple[str, ...] | None,
    wide: bool,
    form: str | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show the last readings of each METER, or of all meters, with the id of the record that proves each.

    With --from, --to or -o: all readings of a period, as CSV, JSON lines or Parquet.
    """
    ranged = begin is not None or end is not None or (output is not None and count is None)
    form = "json" if as_json else form or _by_name(output, wide=wide) or ("csv" if ranged or wide else "table")
    _check(form, output, count, ranged=ranged, wide=wide)
    if output is not None:
        demand_replaceable(output, f"{form} of readings", partial(are_readings, form), force=force)
    config, store = open_store(config_path)
    from_ms = 0 if begin is None else time_ms(begin, config.zone)
    to_ms = FOR_EVER_MS if end is None else time_ms(end, config.zone)
    if from_ms >= to_ms:
        raise click.UsageError("--from must be before --to")
    named = tuple(dict.fromkeys(meters))
    for meter in named:
        if meter not in config.meters and store.records.newest(meter, "reading") is None:
            raise no_meter(config, meter)
    of = named or tuple(config.meters)
    demand_points(config, store, of, points)
    columns = columns_of(config, store, of, points) if wide else []
    if wide and not columns:
        raise GatewayError(Message("readings-wide-none", config=str(config.path), meters=of))
    kept = None if points is None else frozenset(points)
    rows = [] if ranged else [row for name in of for row in store.records.readings(name, count or LAST)]
    if form in ("table", "json"):
        values = [value for value in recorded_values(rows) if kept is None or value.value.name in kept]
        if form == "json":
            click.echo(json.dumps({"readings": [value.as_json() for value in values]}))
        else:
            turned = [name for name, meter in config.meters.items() if meter.reversed]
            print_readings(out, values, config.profiles, turned)
        return
    make: Callable[[IO[bytes]], Writer] = partial(WideCsvWriter, columns=columns) if wide else WRITERS[form]
    tally = Tally()
    with _progress(shown=ranged and output is not None) as progress:
        if ranged:
            wanted = Wanted(named or None, from_ms, to_ms, kept)
            some: Iterable[ReadingLines] = value_lines.readings(store, wanted, progress)
        else:
            some = (found for row in rows if (found := of_row(row, kept)).values or kept is None)
        writer = _write(map(tally.count, some), make, output)
    if isinstance(writer, WideCsvWriter):
        for line in _left_out(writer):
            click.echo(line, err=True)
    if output is not None:
        click.echo(_summary(output, tally), err=True)


def _by_name(output: Path | None, *, wide: bool) -> str | None:
    """The format that a file's name asks for; a wide table is CSV under any name."""
    if output is None:
        return None
    form = output.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        if wide:
            return "csv"
        raise click.UsageError(f"{output}: give --format {', '.join(FORMATS)}, or a name that ends in one of them")
    return form


def _check(form: str, output: Path | None, count: int | None, *, ranged: bool, wide: bool) -> None:
    """Refuse what does not go together."""
    if wide and form != "csv":
        raise click.UsageError(f"--wide is for CSV, not for {form}")
    if ranged and count is not None:
        raise click.UsageError("give --last, or --from and --to, not both")
    if form in ("table", "json") and (ranged or output is not None):
        raise click.UsageError(f"{form} shows only the last readings: give --format {', '.join(FORMATS)}")
    if form == "parquet" and output is None:
        raise click.UsageError("Parquet needs a file: give -o FILE")


def _write(some: Iterable[ReadingLines], make: Callable[[IO[bytes]], Writer], output: Path | None) -> Writer:
    if output is None:
        return _into(sys.stdout.buffer, some, make)
    with output_to(output), whole_file(output) as file:
        return _into(file, some, make)


def _into(file: IO[bytes], some: Iterable[ReadingLines], make: Callable[[IO[bytes]], Writer]) -> Writer:
    writer = make(file)
    for one in some:
        writer.write(one)
    writer.end()
    return writer


def _left_out(writer: WideCsvWriter) -> Iterator[str]:
    """A line a meter about what has no column."""
    found: dict[str, list[str]] = {}
    for (meter, column), count in writer.left_out.items():
        found.setdefault(meter, []).append(f"{column.header} ({count})")
    for meter, columns in found.items():
        yield f"not configured now, left out of {meter}: {', '.join(columns)}; without --wide they are there"


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], object] | None]:
    """A bar with the time that is left, on a terminal."""
    screen = console(stderr=True)
    if not shown or not screen.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("readings", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _summary(output: Path, written: Tally) -> str:
    if written.first_ms is None or written.last_ms is None:
        return f"wrote {output}: no readings in that period"
    times = f"{rfc3339_ms(written.first_ms)} to {rfc3339_ms(written.last_ms)}"
    return f"wrote {output}: {written.readings} readings, {written.values} values, {times}"
