"""A simulated RS-485 line of three meters, one of which is cut off while a file is there.

``python -m benchmarks.failures.cut_plant FOLDER`` serves it until SIGTERM: the line at ``FOLDER/rs485-1``, what its
meters answer in ``FOLDER/answers.jsonl``; ``FOLDER/cut`` cuts ``CUT`` off.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from firmware_sim.cli.run import Simulator, serve
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Choice, Order
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from tests.support.processes import Server

LINE, CUT = "rs485-1", "stack-co2"
METERS = {
    "export-main": ("eastron-sdm630", 1), "workshop": ("eastron-sdm630", 2), CUT: ("vaisala-gmp252", 240),
}  # fmt: skip
"""By name: profile and address."""
READY = "the line is open"


@dataclass(kw_only=True)
class CutOff(Fault):
    """No answer while there is such a file."""

    file: Path

    def hears(self, t_ms: int) -> bool:
        return not self.file.exists()


class CutPlant(Server):
    """The plant as a child."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.line = folder / LINE
        self._file = folder / "cut"
        command = [sys.executable, "-u", "-m", "benchmarks.failures.cut_plant", str(folder)]
        super().__init__("plant", command, READY, folder / "plant.log")

    def cut(self) -> None:
        """From now on one meter hears nothing."""
        self._file.touch()

    def join(self) -> None:
        """It hears again."""
        self._file.unlink()


@contextmanager
def cut_plant(folder: Path) -> Iterator[CutPlant]:
    """A running plant."""
    plant = CutPlant(folder)
    plant.start()
    try:
        yield plant
    finally:
        assert plant.stop() == 0  # a killed one leaves a link to whoever gets that pseudo-terminal next


def main(folder: Path) -> None:
    """Serve the plant."""
    path = folder / "plant.toml"
    meters = "".join(
        f'[[bus.meter]]\nname = "{name}"\nprofile = "{profile}"\naddress = {address}\nlatency_ms = 20\n'
        for name, (profile, address) in METERS.items()
    )
    path.write_text(f'[[bus]]\nname = "{LINE}"\ntype = "modbus-rtu"\nport = "{LINE}"\nbaudrate = 9600\n{meters}')
    fault = Order(CUT, (CUT,), "cut-off", lambda: (Choice("cut-off", CutOff(file=folder / "cut")),))
    log = AnswerLog(folder / "answers.jsonl")
    simulator = Simulator(replace(load_scenario(path), faults=(fault,)), folder=folder, log=log)
    asyncio.run(serve(simulator, seconds=None, opened=lambda _: print(READY)))
    log.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
