"""Simulator for tests: a process of its own, with free ports, faults on demand, the truth, and the log of its answers.

The process ends when its standard input does, so it cannot outlive whoever started it, however that one ends. Nothing
here imports the plant, a profile or a library: a project under test may have packages of any name.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar

from firmware_sim.control.client import Client, ControlError
from firmware_sim.errors import SimError
from firmware_sim.testing.scenario_given import Given, prepare

START_S, STOP_S = 60.0, 20.0
"""The longest that a start, and an end, may take on a busy machine."""
PAUSE_S = 0.005
_RUN = "import sys; sys.path.append(sys.argv.pop(1)); from firmware_sim.cli.app import main; main(prog_name='sim')"
"""Runs the command of this installation, whatever lies in the working directory."""

_T = TypeVar("_T")
__tracebackhide__ = True
"""A test that fails shows the line of the test, and none of this module's."""


class SimulationError(SimError):
    """A simulator that did not start, ended too early, or is asked for what it does not have."""


class Simulation:
    """A running simulator.

    ``ready`` is the content of its ready file, ``log_path`` its answer log (docs/simulator.md, "Log format").
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, ready: Mapping[str, Any]) -> None:
        self._process, self._folder, self.ready = process, folder, ready
        self.log_path = folder / "answers.jsonl"
        self._client = Client(Path(ready["control"]))

    def port(self, bus: str | None = None) -> int:
        """The TCP port of a bus. Without a name: of the only bus that has one. Raises ``SimulationError``."""
        return int(self._where(bus, int, "a serial line: use path()"))

    def path(self, bus: str | None = None) -> str:
        """The path of a serial line, for pyserial. Without a name: of the only one. Raises ``SimulationError``."""
        return str(self._where(bus, str, "not a serial line: use port()"))

    def inject(
        self,
        target: str,
        kind: str,
        *,
        after_s: float | None = None,
        for_s: float | None = None,
        count: int | None = None,
        share: float | None = None,
        **keys: Any,
    ) -> str:
        """Arm a fault, and give its id: the next request meets it.

        Args:
            target: a meter, or a bus for all of its meters.
            kind: of docs/simulator.md, "fault".
            after_s: it begins so many seconds from now; None: at once.
            for_s: it ends after so many seconds; None: when it is cleared.
            count: it ends when so many requests have met it.
            share: of the requests that meet it.
            keys: those of the kind, as ``delay_ms=700``.

        Raises:
            SimError: no such meter, kind or key, or this bus cannot have it: what is wrong, and the fix.
        """
        return self._asked(
            lambda client: client.inject(target, kind, keys, after=after_s, seconds=for_s, count=count, share=share)
        )

    def clear(self, target: str = "all") -> list[str]:
        """Take faults away: one by its id, those of a meter or bus, or all; gives their ids. Raises ``SimError``."""
        return self._asked(lambda client: client.clear(target))

    def status(self) -> dict[str, Any]:
        """Buses and meters with their requests so far, and faults, as ``meterseal-sim status --json``."""
        return self._asked(lambda client: client.status())

    def truth(
        self, meter: str, point: str, at: float | datetime | Mapping[str, Any] | None = None
    ) -> int | float | Decimal | str | None:
        """What a point would show at a moment if the meter had no fault, to the last digit of its registers.

        Args:
            meter: its name.
            point: a point of its profile, of a P1 port a code (``1-0:1.8.1``), of a logger's realtime data a code with
                what it is of (``a05001-Rtd``): its name in the log.
            at: a line of the log, for the moment of that request; Unix time in seconds; a datetime with its zone;
                None: now.

        Returns:
            An int or float as registers hold it, a Decimal where it is scaled or written in digits, a text, or None
            where it has no value: not available.

        Raises:
            SimError: no such meter or point, or a moment before the start or in the future.
        """
        question = {"do": "truth", "meter": meter, "point": point, **_moment(at)}
        answer = self._asked(lambda client: client.ask(question))
        value = answer["value"]
        return Decimal(value) if answer["number"] and isinstance(value, str) else value

    def log(self, meter: str | None = None) -> list[dict[str, Any]]:
        """The lines of the answer log so far: of one meter, or all, with those about faults. Raises ``SimError``."""
        if meter is not None:
            self._counted(meter)
        with self.log_path.open("rb") as file:
            lines = [json.loads(line) for line in file if line.endswith(b"\n")]
        return [line for line in lines if meter in (None, line.get("meter"))]

    def wait(self, meter: str, requests: int = 1, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until a meter got so many more requests than it had when this was called, and give the lines that the
        log got meanwhile. Of a meter that sends without being asked its messages count.

        Raises:
            SimError: there is no such meter.
            TimeoutError: they did not come; it says how many did.
        """
        first, begun = self._counted(meter), len(self.log(meter))
        deadline = time.monotonic() + timeout_s
        while (got := self._counted(meter) - first) < requests:
            if time.monotonic() > deadline:
                asked = f"{meter} got {got} of {requests} requests within {timeout_s:g} s, and {first} before"
                places = ", ".join(f"{bus} at {line.get('port')}" for bus, line in self.ready["lines"].items())
                raise TimeoutError(f"{asked}\n  fix: see that something polls it: {places}")
            time.sleep(4 * PAUSE_S)
        return self.log(meter)[begun:]

    def _counted(self, meter: str) -> int:
        """Its requests so far, or its messages where nobody asks it."""
        found = {each["name"]: each for bus in self.status()["buses"] for each in bus["meters"]}
        if meter not in found:
            raise SimulationError(f"no such meter: {meter!r}", f"known: {', '.join(found)}")
        counts = found[meter]
        return int(counts["answers"] if counts["requests"] is None else counts["requests"])

    def _where(self, bus: str | None, kind: type, otherwise: str) -> int | str:
        lines = self.ready["lines"]
        having = [name for name, line in lines.items() if isinstance(line.get("port"), kind)]
        if bus is None:
            if len(having) != 1:
                what = "TCP port" if kind is int else "serial line"
                raise SimulationError(f"{len(having)} buses have a {what}", f"name one of {', '.join(lines)}")
            bus = having[0]
        if bus not in lines:
            raise SimulationError(f"no such bus: {bus!r}", f"known: {', '.join(lines)}")
        if bus not in having:
            dials = f"it dials {lines[bus]['dials']}" if "dials" in lines[bus] else f"it is {otherwise}"
            raise SimulationError(f"bus {bus} has no such place", dials)
        place: int | str = lines[bus]["port"]
        return place

    def _asked(self, question: Callable[[Client], _T]) -> _T:
        try:
            return question(self._client)
        except ControlError as error:
            if self._process.poll() is not None:
                raise _ended(self._process, self._folder) from None
            raise error.with_traceback(None) from None

    def stop(self) -> None:
        """End it. Raises ``SimulationError`` where it ended by itself before, or does not end."""
        assert self._process.stdin is not None
        early = self._process.poll()
        self._process.stdin.close()
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise SimulationError(f"the simulator did not end within {STOP_S:g} s", "report it") from None
        if early is not None or code != 0:
            raise _ended(self._process, self._folder)


class Start(Protocol):
    """Starts a simulator, see ``meterseal_sim``."""

    def __call__(
        self, scenario: Given, *, seed: int | None = None, ports: Mapping[str, int | str] | None = None
    ) -> Simulation:
        """A running simulator.

        Args:
            scenario: see ``prepare``.
            seed: another plant of the same kind.
            ports: by the name of a bus, in place of a free one; of a logger the port that it dials.

        Raises:
            SimError: a mistake in the scenario: file, key and fix.
        """


@contextmanager
def running(*, base: Path, folder: Path) -> Iterator[Start]:
    """What starts simulators, which all end with the ``with``: the body of the fixture, and of one of a wider scope.

    Args:
        base: where relative names of files lead.
        folder: for logs; it stays.
    """
    started: list[Simulation] = []
    numbers = itertools.count()
    links = Path(tempfile.mkdtemp(prefix="sim-"))  # short, as a path of a serial line is typed and has limits

    def start(scenario: Given, *, seed: int | None = None, ports: Mapping[str, int | str] | None = None) -> Simulation:
        number = next(numbers)
        kept, lines = folder / f"{number}", links / f"{number}"
        kept.mkdir(parents=True)
        lines.mkdir()
        try:
            prepared = prepare(scenario, base, kept)
        except SimError as error:
            raise error.with_traceback(None) from None
        chosen = prepared.ports | {bus: str(port) for bus, port in (ports or {}).items()}
        process = _process(prepared.file, kept, lines, chosen, seed)
        try:
            simulation = Simulation(process, kept, _ready(process, kept))
        except BaseException:
            process.kill()
            process.wait()
            raise
        started.append(simulation)
        return simulation

    try:
        yield start
    finally:
        failures = []
        for simulation in reversed(started):
            try:
                simulation.stop()
            except SimulationError as error:
                failures.append(error)
        shutil.rmtree(links, ignore_errors=True)
        if failures:
            raise failures[0]


def _process(
    scenario: Path, kept: Path, lines: Path, ports: Mapping[str, str], seed: int | None
) -> subprocess.Popen[bytes]:
    home = Path(__file__).parents[2]
    words = ["run", scenario, "--until-eof", "--dir", lines, "--log", kept / "answers.jsonl", "--ready", kept / "ready"]
    words += [word for bus, port in ports.items() for word in ("--port", f"{bus}={port}")]
    words += [] if seed is None else ["--seed", seed]
    command = [sys.executable, "-P", "-c", _RUN, home, *words]
    with (kept / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the tests, which end it
        )


def _ready(process: subprocess.Popen[bytes], kept: Path) -> Mapping[str, Any]:
    """What the ready file says, once it is there."""
    deadline = time.monotonic() + START_S
    while not (kept / "ready").exists():
        if process.poll() is not None:
            raise _ended(process, kept)
        if time.monotonic() > deadline:
            raise SimulationError(f"the simulator did not start within {START_S:g} s", f"see {kept / 'output.txt'}")
        time.sleep(PAUSE_S)
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads((kept / "ready").read_text(encoding="utf-8"))
        return found
    process.wait(STOP_S)
    raise _ended(process, kept)


def _ended(process: subprocess.Popen[bytes], kept: Path) -> SimulationError:
    """What a simulator said that ended before it should: its message, where it has one."""
    text = (kept / "output.txt").read_text(encoding="utf-8", errors="replace")
    problem, fix, way_out = text.rpartition("meterseal-sim: ")[2].strip().rpartition("\n  fix: ")
    if process.returncode == 2 and fix:
        return SimulationError(problem, way_out)
    return SimulationError(f"the simulator ended with code {process.returncode}:\n{text.strip()}", "see its output")


def _moment(at: float | datetime | Mapping[str, Any] | None) -> dict[str, int]:
    if at is None:
        return {}
    if isinstance(at, Mapping):
        return {"at_ms": int(at["at_ms"])}
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise SimulationError(f"{at} has no time zone", "make it with one: datetime.now(UTC)")
        at = at.timestamp()
    return {"t_ms": round(at * 1000)}
