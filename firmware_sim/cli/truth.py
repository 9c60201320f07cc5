"""Command ``truth``: what a plant is at each moment, and what its meters show of it, as CSV; no wire, no clock.

Nothing in it depends on when or where it runs, so the same scenario gives the same bytes, on each version of Python.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import click

from firmware_sim.cli.refusals import refusing
from firmware_sim.cli.times import milliseconds, moment
from firmware_sim.cli.whole_file import whole_file
from firmware_sim.errors import WireError
from firmware_sim.meters.armed import Armed, Faults
from firmware_sim.meters.packing import Value
from firmware_sim.meters.scaling import in_digits
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.scenario.every_point import Source, Values, seen, sources
from firmware_sim.scenario.load import Scenario, load_scenario
from gateway.devices.profile import ProfileError

FILE = click.Path(path_type=Path)
HEAD = ("time", "at_ms", "meter", "point", "plant", "true", "shown")
_BEGIN = ",".join(HEAD).encode() + b"\n"
Row = tuple[str, int, str, str, str, str, str]


@click.command("truth")
@click.argument("scenario", type=FILE)
@click.option("--for", "length_ms", default="24h", callback=milliseconds, help="How much of the plant's time.  [24h]")
@click.option("--every", "every_ms", default="60s", callback=milliseconds, help="Between two moments.  [60s]")
@click.option("-o", "path", type=FILE, required=True, help="Write to this file, as CSV.")
@click.option("--force", is_flag=True, help="Replace a file of another kind.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Replace the scenario's seed.")
@click.option("--at", metavar="TIME", callback=moment, help="Replace the plant's start; 2026-06-21T04:00+08:00.")
def truth(
    scenario: Path, length_ms: int, every_ms: int, path: Path, force: bool, seed: int | None, at: str | None
) -> None:
    """Write what SCENARIO's plant is, and what its meters show."""
    if every_ms == 0:
        raise click.BadParameter("give a time between two moments", param_hint="--every")
    with refusing(ProfileError):
        if not force:
            _demand_replaceable(path)
        write(path, rows(load_scenario(scenario, seed=seed, at=at), length_ms, every_ms))


def rows(scenario: Scenario, length_ms: int, every_ms: int) -> Iterator[Row]:
    """The rows from the plant's start to ``length_ms``, both ends included, every ``every_ms``: ``plant`` is what is
    measured, ``true`` what the meter would show without faults, ``shown`` what it shows.

    Without ``start`` in the scenario nobody knows what a clock shows.

    Raises:
        ScenarioError: a meter's profile or ``show`` asks for what is not simulated.
    """
    plant = Plant(scenario.plant)
    began_ms = scenario.plant.start_ms
    meters = list(sources(scenario, plant, lambda t_ms: (began_ms or 0) + t_ms))
    faults = Faults(scenario.plant.seed)
    for order in scenario.faults:
        faults.arm(order, injected=False)
    for t_ms in range(0, length_ms + 1, every_ms):
        label = _label(scenario.plant, t_ms)
        for source in meters:
            armed = _of(faults, source)
            silent = source.sleeps_at(t_ms)
            exact = source.exact(t_ms)
            true = {} if silent else {name: reply.values for name, reply in source.shows(t_ms).items()}
            shown = seen(source, armed, t_ms) if armed else true
            for name in source.names:
                for row in _points(exact[name], true.get(name, {}), shown.get(name, {})):
                    is_known = began_ms is not None or row[0] not in source.clocks
                    yield label, t_ms, name, *(row if is_known else (row[0], "", "", ""))


def write(path: Path, found: Iterator[Row]) -> None:
    """Write the rows with a header, the file whole or not at all. Raises ``WireError``."""
    with whole_file(path, "-o") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(found)


def _demand_replaceable(path: Path) -> None:
    """Raises ``WireError`` where a file of another kind is there."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_BEGIN))
    except OSError:  # it is not there; else writing says what is wrong
        return
    if begin not in (b"", _BEGIN):
        raise WireError(
            f"{path}: is there already, and is no table of a plant", "give another name, or --force to replace it"
        )


def _label(spec: PlantSpec, t_ms: int) -> str:
    """The moment in the plant's calendar; "" where the scenario says none."""
    return "" if spec.start is None else (spec.start + timedelta(milliseconds=t_ms)).isoformat(timespec="milliseconds")


def _of(faults: Faults, source: Source) -> Sequence[Armed]:
    return faults.of(source.names[0])


def _points(exact: Values, true: Values, shown: Values) -> Iterator[tuple[str, str, str, str]]:
    for point in dict.fromkeys([*exact, *true]):
        yield point, _text(exact.get(point)), _text(true.get(point)), _text(shown.get(point))


def _text(value: Value) -> str:
    """A value as the answer log has it; "" where there is none."""
    if value is None:
        return ""
    return in_digits(value) if isinstance(value, Fraction) else str(value)
