"""Command ``run``: a scenario from its file to its end."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import click

from firmware_sim.cli.run import Simulator, serve, write_ready
from firmware_sim.cli.state_keeper import StateKeeper
from firmware_sim.cli.status import where
from firmware_sim.clock import SimClock
from firmware_sim.control.client import SOCKET, Client
from firmware_sim.scenario.load import Scenario
from firmware_sim.wire.answer_log import AnswerLog


def run_scenario(
    scenario: Scenario,
    folder: Path,
    *,
    speed: float,
    state: Path | None,
    log: Path | None,
    ready: Path | None,
    control: Path | None,
    seconds: float | None,
    until_eof: bool = False,
) -> None:
    """Run a scenario until a signal or the end of ``seconds``; the arguments are the options of the command.

    Raises ``SimError``.
    """

    is_open = False

    def clock(began_ms: int | None) -> SimClock:
        return SimClock(speed=speed, start_ms=scenario.plant.start_ms, began_ms=began_ms)

    def opened(simulator: Simulator) -> None:
        nonlocal is_open
        is_open = True
        facts = simulator.ready()
        if ready:
            write_ready(ready, facts)
        for name, line in facts["lines"].items():
            click.echo(f"bus {name}: {line['type']} {where(line)}")
        for warning in simulator.warnings:
            click.echo(warning, err=True)

    socket = control
    if control is None and os.access(folder, os.W_OK):
        socket = folder / SOCKET
    elif control is None:  # TCP buses need no folder
        _warn(f"{folder}: no folder to write to, so inject, clear and status do not reach this run; set --control")
    if ready and not (socket and Client(socket).is_served()):
        with suppress(OSError):  # writing it says what is wrong
            ready.unlink()  # one that a killed simulator left tells nothing
    answers = AnswerLog(log)
    try:
        keeper = None if state is None else StateKeeper(state, scenario, clock, _warn)
        simulator = Simulator(scenario, folder=folder, log=answers, clock=clock(None), keeper=keeper, control=socket)
        asyncio.run(serve(simulator, seconds=seconds, opened=opened, until_eof=until_eof))
        for tap, size in simulator.came_back().items():
            click.echo(f"tap {tap}: {size} bytes came back")
    finally:
        answers.close()
        if ready and is_open:
            with suppress(OSError):
                ready.unlink()


def _warn(text: str) -> None:
    click.echo(f"meterseal-sim: {text}", err=True)
