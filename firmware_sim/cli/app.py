"""Command ``meterseal-sim``: a plant of meters on a laptop.

Each command imports what it needs when it is called: those that only speak to a running simulator start at once.
Exit codes: 0 done, 2 wrong usage or scenario; a message says where, what is wrong and the fix.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from firmware_sim.cli.refusals import refusing
from firmware_sim.cli.times import moment, plant_speed

if TYPE_CHECKING:
    from firmware_sim.control.client import Client

FILE = click.Path(path_type=Path)


def _map() -> click.Command:
    from firmware_sim.cli.register_map import register_map

    return register_map


def _compare() -> click.Command:
    from firmware_sim.cli.comparing import compare

    return compare


def _truth() -> click.Command:
    from firmware_sim.cli.truth import truth

    return truth


def _record() -> click.Command:
    from firmware_sim.cli.recording import record

    return record


IMPORTED: dict[str, Callable[[], click.Command]] = {
    "map": _map, "compare": _compare, "truth": _truth, "record": _record,
}  # fmt: skip
"""Commands with modules of their own, which are imported when the command is called."""


class _Taken(UserDict[str, Any]):
    """Commands by name; one that is to be imported is imported when it is taken."""

    def __getitem__(self, name: str) -> click.Command:
        if not isinstance(self.data[name], click.Command):
            self.data[name] = self.data[name]()
        command: click.Command = self.data[name]
        return command


class _Commands(click.Group):
    """The commands of this module, and the imported ones."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands = _Taken({**self.commands, **IMPORTED})


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Simulated meters on real wires: Modbus, DL/T 645 and P1 on pseudo-terminals and over TCP, HJ 212 loggers."""


@main.command()
@click.argument("scenario", type=FILE)
@click.option("--dir", "folder", type=FILE, default=Path(), help="Where relative serial paths lead.  [here]")
@click.option("--log", type=FILE, help="Write every answer given to this file, one JSON object a line.")
@click.option("--ready", type=FILE, help="Write where the buses are to this file once all of them accept.")
@click.option("--control", type=FILE, help="Socket for inject, clear and status.  [meterseal-sim.sock in --dir]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Replace the scenario's seed.")
@click.option("--port", "ports", multiple=True, metavar="BUS=PORT", help="Replace a bus's port; 0 takes a free one.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="Stop by itself after so many seconds.")
@click.option("--until-eof", is_flag=True, help="Stop when standard input ends, as with the program that started it.")
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
    control: Path | None,
    seed: int | None,
    ports: tuple[str, ...],
    seconds: float | None,
    at: str | None,
    state: Path | None,
    speed: float,
    until_eof: bool,
) -> None:
    """Run SCENARIO, a file or a shipped plant, until Ctrl-C."""
    replaced = dict(_pair(text, "BUS=PORT", "--port") for text in ports)
    if state is not None and at is not None:
        raise click.BadParameter("a plant with --state has begun; set start in the scenario", param_hint="--at")
    from firmware_sim.cli.running import run_scenario
    from firmware_sim.scenario.load import load_scenario
    from gateway.devices.profile import ProfileError

    with refusing(ProfileError):
        loaded = load_scenario(scenario, seed=seed, ports=replaced, at=at)
        run_scenario(
            loaded,
            folder,
            speed=speed,
            state=state,
            log=log,
            ready=ready,
            control=control,
            seconds=seconds,
            until_eof=until_eof,
        )


def _pair(text: str, form: str, where: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise click.BadParameter(f"{text!r} is not {form}", param_hint=where)
    return name, value


@main.command()
def profiles() -> None:
    """List the profiles, and how much of each can be simulated."""
    from firmware_sim.cli.profiles import coverage
    from gateway.devices.profile import ProfileError

    with refusing(ProfileError):
        for line in coverage():
            click.echo(line)


_SOCKET = [
    click.option("--dir", "folder", type=FILE, default=Path(), help="Folder of the running simulator.  [here]"),
    click.option("--control", type=FILE, help="Its socket, if it has another one than meterseal-sim.sock in --dir."),
]


def _client(folder: Path, control: Path | None) -> Client:
    """Of the simulator that runs there."""
    from firmware_sim.control.client import SOCKET, Client

    return Client(control or folder / SOCKET)


@main.command()
@click.argument("target", metavar="METER|BUS")
@click.argument("kind")
@click.argument("keys", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--after", type=float, help="Begin in so many seconds.  [at once]")
@click.option("--for", "seconds", type=float, help="End after so many seconds.  [when it is cleared]")
@click.option("--count", type=int, help="End when it has struck so many requests.")
@click.option("--share", type=float, help="Strike this share of the requests.  [1]")
@_SOCKET[0]
@_SOCKET[1]
def inject(
    target: str,
    kind: str,
    keys: tuple[str, ...],
    after: float | None,
    seconds: float | None,
    count: int | None,
    share: float | None,
    folder: Path,
    control: Path | None,
) -> None:
    """Arm a fault of a meter, or of a bus, in a running simulator.

    It prints the fault's id, once the next request meets it.
    """
    of_kind = dict(_pair(text, "KEY=VALUE", "KEY=VALUE") for text in keys)
    with refusing():
        client = _client(folder, control)
        click.echo(client.inject(target, kind, of_kind, after=after, seconds=seconds, count=count, share=share))


@main.command()
@click.argument("target", metavar="ID|METER|BUS|all")
@_SOCKET[0]
@_SOCKET[1]
def clear(target: str, folder: Path, control: Path | None) -> None:
    """Take faults away: by id, of a meter or bus, or all."""
    with refusing():
        answer = _client(folder, control).ask({"do": "clear", "target": target})
        for name in answer["cleared"]:
            click.echo(name)
        if not answer["cleared"]:
            click.echo(f"{target} has no fault", err=True)
        if goes_on := answer.get("goes_on"):
            click.echo(f"{', '.join(goes_on)} of its bus strikes {target} still: clear it by its id", err=True)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_SOCKET[0]
@_SOCKET[1]
def status(as_json: bool, folder: Path, control: Path | None) -> None:
    """Show a running simulator: meters, requests so far, faults."""
    import json

    from firmware_sim.cli.status import lines

    with refusing():
        state = _client(folder, control).status()
        for line in [json.dumps(state, ensure_ascii=False)] if as_json else lines(state):
            click.echo(line)


if __name__ == "__main__":
    main()
