"""Command `meterseal readings`: the newest readings as text or JSON, or those of any period as a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.cli.readings_view import print_readings
from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable, no_meter, open_store, out
from gateway.cli.terminal.times import TIME, time_ms
from gateway.errors import output_to
from gateway.history.export_files import FORMATS, WRITERS, Line, ValueLine, are_readings, lines, of_row
from gateway.process.console import console
from gateway.status.readings import recorded_values
from ledger_client.durable_files import whole_file
from ledger_client.times import rfc3339_ms

LAST = 3
FOR_EVER_MS = 1 << 53


@click.command()
@CONFIG
@click.argument("meter", required=False)
@click.option("-n", "--last", "count", type=click.IntRange(1), help=f"Number of readings.  [default: {LAST}]")
@click.option("--from", "begin", type=TIME, help="Start time: RFC 3339, time of the site, or -24h.")
@click.option("--to", "end", type=TIME, help="End time, exclusive.")
@click.option("--format", "form", type=click.Choice(["table", "json", *FORMATS]), help="[default: by FILE, else table]")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write readings to FILE.")
@FORCE
@JSON
def readings(
    config_path: Path,
    meter: str | None,
    count: int | None,
    begin: str | None,
    end: str | None,
    form: str | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show the last readings of METER, or of all meters, with the id of the record that proves each.

    With --from, --to or -o: all readings of a period, as CSV, JSON lines or Parquet.
    """
    ranged = begin is not None or end is not None or (output is not None and count is None)
    form = "json" if as_json else form or _by_name(output) or ("csv" if ranged else "table")
    _check(form, output, count, ranged=ranged)
    if output is not None:
        demand_replaceable(output, f"{form} of readings", partial(are_readings, form), force=force)
    config, store = open_store(config_path)
    from_ms = 0 if begin is None else time_ms(begin, config.zone)
    to_ms = FOR_EVER_MS if end is None else time_ms(end, config.zone)
    if from_ms >= to_ms:
        raise click.UsageError("--from must be before --to")
    if meter is not None and meter not in config.meters and store.records.newest(meter, "reading") is None:
        raise no_meter(config, meter)
    names = [meter] if meter else list(config.meters)
    rows = [] if ranged else [row for name in names for row in store.records.readings(name, count or LAST)]
    if form == "json":
        click.echo(json.dumps({"readings": [value.as_json() for value in recorded_values(rows)]}))
    elif form == "table":
        turned = [name for name, found in config.meters.items() if found.reversed]
        print_readings(out, recorded_values(rows), config.profiles, turned)
    else:
        written = ValueLine()
        with _progress(shown=ranged and output is not None) as progress:
            if ranged:
                some: Iterable[list[Line]] = lines(store, meter, from_ms, to_ms, written, progress)
            else:
                some = (written.count(row.time_ms, of_row(row)) for row in rows)
            _write(some, form, output)
        if output is not None:
            click.echo(_summary(output, written), err=True)


def _by_name(output: Path | None) -> str | None:
    """The format that a file's name asks for."""
    if output is None:
        return None
    form = output.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise click.UsageError(f"{output}: give --format {', '.join(FORMATS)}, or a name that ends in one of them")
    return form


def _check(form: str, output: Path | None, count: int | None, *, ranged: bool) -> None:
    """Refuse what does not go together."""
    if ranged and count is not None:
        raise click.UsageError("give --last, or --from and --to, not both")
    if form in ("table", "json") and (ranged or output is not None):
        raise click.UsageError(f"{form} shows only the last readings: give --format {', '.join(FORMATS)}")
    if form == "parquet" and output is None:
        raise click.UsageError("Parquet needs a file: give -o FILE")


def _write(some: Iterable[list[Line]], form: str, output: Path | None) -> None:
    if output is None:
        _into(sys.stdout.buffer, some, form)
        return
    with output_to(output), whole_file(output) as file:
        _into(file, some, form)


def _into(file: IO[bytes], some: Iterable[list[Line]], form: str) -> None:
    writer = WRITERS[form](file)
    for one in some:
        writer.write(one)
    writer.end()


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


def _summary(output: Path, written: ValueLine) -> str:
    if written.first_ms is None or written.last_ms is None:
        return f"wrote {output}: no readings in that period"
    times = f"{rfc3339_ms(written.first_ms)} to {rfc3339_ms(written.last_ms)}"
    return f"wrote {output}: {written.readings} readings, {written.values} values, {times}"
