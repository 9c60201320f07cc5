"""Command ``meterseal-sim``: a plant of meters on a laptop.

Exit codes: 0 done, 2 wrong usage or scenario; a message says where, what is wrong and the fix.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import click

from firmware_sim.cli.comparing import compare
from firmware_sim.cli.register_map import register_map
from firmware_sim.cli.run import Simulator, serve, write_ready
from firmware_sim.cli.state_keeper import StateKeeper
from firmware_sim.cli.times import moment, plant_speed
from firmware_sim.cli.truth import truth
from firmware_sim.clock import SimClock
from firmware_sim.errors import SimError
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.register_map import Layout, MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.profile import Profile, ProfileError, catalog, load_profile

FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Simulated meters on real wires: Modbus, DL/T 645 and P1 on pseudo-terminals and over TCP, HJ 212 loggers."""


main.add_command(register_map)


@main.command()
@click.argument("scenario", type=FILE)
@click.option("--dir", "folder", type=FILE, default=Path(), help="Where relative serial paths lead.  [here]")
@click.option("--log", type=FILE, help="Write every answer given to this file, one JSON object a line.")
@click.option("--ready", type=FILE, help="Write where the buses are to this file once all of them accept.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Replace the scenario's seed.")
@click.option("--port", "ports", multiple=True, metavar="BUS=PORT", help="Replace a bus's port; 0 takes a free one.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="Stop by itself after so many seconds.")
@click.option("--at", metavar="TIME", callback=moment, help="Replace the plant's start; 2026-06-21T04:00+08:00.")
@click.option("--state", type=FILE, help="Keep the plant's state in this file; one that was killed goes on from it.")
@click.option(
    "--speed", type=float, default=1.0, callback=plant_speed, help="How many times as fast the plant's time runs."
)
def run(
    scenario: Path,
    folder: Path,
    log: Path | None,
    ready: Path | None,
    seed: int | None,
    ports: tuple[str, ...],
    seconds: float | None,
    at: str | None,
    state: Path | None,
    speed: float,
) -> None:
    """Run SCENARIO, a file or a shipped plant, until Ctrl-C."""
    replaced = dict(_port(text) for text in ports)
    if state is not None and at is not None:
        raise click.BadParameter("a plant with --state has begun; set start in the scenario", param_hint="--at")

    def opened(simulator: Simulator) -> None:
        where = simulator.ready()
        if ready:
            write_ready(ready, where)
        for name, line in where["lines"].items():
            if "dials" in line:
                click.echo(f"bus {name}: {line['type']} dials {line['dials']}")
                continue
            address = (
                line["url"] if "url" in line else f"{line['host']}:{line['port']}" if "host" in line else line["port"]
            )
            click.echo(f"bus {name}: {line['type']} at {address}")
        for warning in simulator.warnings:
            click.echo(warning, err=True)

    try:
        loaded = load_scenario(scenario, seed=seed, ports=replaced, at=at)
        if ready:
            ready.unlink(missing_ok=True)  # one that a killed simulator left tells nothing
        answers = AnswerLog(log)
        try:

            def clock(began_ms: int | None) -> SimClock:
                return SimClock(speed=speed, start_ms=loaded.plant.start_ms, began_ms=began_ms)

            keeper = None if state is None else StateKeeper(state, loaded, clock, _warn)
            simulator = Simulator(loaded, folder=folder, log=answers, clock=clock(None), keeper=keeper)
            asyncio.run(serve(simulator, seconds=seconds, opened=opened))
            for path, size in simulator.came_back().items():
                click.echo(f"tap {path}: {size} bytes came back")
        finally:
            answers.close()
            if ready:
                ready.unlink(missing_ok=True)
    except (SimError, ProfileError) as error:
        click.echo(f"meterseal-sim: {error}", err=True)
        sys.exit(2)


main.add_command(compare)
main.add_command(truth)


def _warn(text: str) -> None:
    click.echo(f"meterseal-sim: {text}", err=True)


def _port(text: str) -> tuple[str, str]:
    name, equals, port = text.partition("=")
    if not (name and equals and port):
        raise click.BadParameter(f"{text!r} is not BUS=PORT", param_hint="--port")
    return name, port


@main.command()
def profiles() -> None:
    """List the profiles, and how much of each can be simulated."""
    names = [name for name in catalog() if load_profile(name).protocol not in ("hj212", "obis")]
    width = max(map(len, names), default=0)
    for name in names:
        profile = load_profile(name)
        click.echo(f"{name:<{width}}  {profile.vendor} {profile.device}: {_coverage(profile)}")


def _coverage(profile: Profile) -> str:
    """How much of a profile the plant can fill."""
    if profile.protocol == "dlt645":
        return _covered(profile, Dlt645Meter(MeterSpec("x", profile, "0" * 12), Plant(PlantSpec()), int).unfilled)
    spec = MeterSpec(
        "x", profile, profile.default_address, serial="1", factors=dict.fromkeys(profile.factors, Decimal(1))
    )
    try:
        missing = Layout(spec).unfilled
    except Mismatch as error:
        return f"not simulated ({error.problem})"
    return _covered(profile, missing)


def _covered(profile: Profile, missing: Sequence[str]) -> str:
    total = len(profile.points)
    return f"{total - len(missing)} of {total} points" + (f", without {', '.join(missing)}" if missing else "")


if __name__ == "__main__":
    main()
