"""A cabinet commissioned by what README says: from an empty folder to the first anchored reading and a printed page.

An installer at a real terminal types the commands of README's section "From the cabinet to the first anchored reading"
and answers the wizard with what the simulated displays show. The line speaks 2400 8E1, which nobody gave him; three
makes are on it, one wired the wrong way round, one behind a current transformer 200/5, and two units behind a TCP
converter. ``seconds`` is the wall time of all of it, ``commands`` what was typed at the gateway; what the ledger's
operator types at the ledger is counted apart (``ledger_commands``). ``meters_right``: meters that have the right
profile, ratio and direction, and every answer of which since the gateway's start is recorded, value by value. With
``speed`` given there are two meters on the line alone, and short periods.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.commissioning.cabinet_installer import Installer, Terminal
from benchmarks.commissioning.cabinet_plant import BEHIND_THE_CONVERTER, ON_THE_LINE, Displays, Unit, ready, scenario
from gateway.cli.demo.balance import Answer, agrees
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Event, is_commissioning_record, parse_record
from ledger_client.formats.senml import Reading
from tests.support.processes import EmbeddedLedger, Server

README = Path(__file__).parents[2] / "README.md"
SECTION = "## From the cabinet to the first anchored reading"
SMALLEST: tuple[dict[str, Any], ...] = ({"speed": 2400},)
READ_EVERY, ANSWER_LIFE = "10s", "300ms"
"""Of the short form."""


def run(speed: int = 0) -> dict[str, object]:
    """The whole of it; ``speed``: that of the line, 0: nobody knows it."""
    line, converter = (ON_THE_LINE, BEHIND_THE_CONVERTER) if not speed else (ON_THE_LINE[:2], ())
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (work := folder / "work").mkdir()
        simulator = _Simulator(folder, line, converter)
        stack.callback(simulator.close)
        simulator.start()
        ledger = EmbeddedLedger(folder / "ledger", "demo-ledger", None, None)
        stack.callback(ledger.close)
        ledger.start()
        terminal = Terminal(work, f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        stack.callback(terminal.close)
        return _Work(work, terminal, ledger, simulator, (*line, *converter)).done(speed)


def commands() -> list[str]:
    """What README has typed at the gateway."""
    section = README.read_text().partition(SECTION)[2].partition("\n## ")[0]
    return re.findall(r"^\$ (.*)$", section, re.MULTILINE)


class _Simulator(Server):
    """The cabinet, with what its meters have answered in ``truth``."""

    def __init__(self, folder: Path, line: Sequence[Unit], converter: Sequence[Unit]) -> None:
        (folder / "cabinet.toml").write_text(scenario(line, converter))
        self.truth, self._ready = folder / "truth.jsonl", folder / "ready.json"
        options = ["--log", str(self.truth), "--ready", str(self._ready), "--control", str(folder / "sim.sock")]
        command = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(folder / "cabinet.toml"), *options]
        super().__init__("simulator", command, "bus converter" if converter else "bus line", folder / "simulator.log")

    def addresses(self) -> dict[str, str]:
        """What README's addresses are here."""
        lines = ready(self._ready)
        found = {"rfc2217://192.168.1.20:4001": lines["line"]["url"]}
        if "converter" in lines:
            found["192.168.1.30"] = f"127.0.0.1 --port {lines['converter']['port']}"
        return found


class _Work:
    """One installer with one cabinet."""

    def __init__(
        self, folder: Path, terminal: Terminal, ledger: EmbeddedLedger, simulator: _Simulator, units: Sequence[Unit]
    ) -> None:
        self._folder, self._terminal, self._ledger, self._simulator = folder, terminal, ledger, simulator
        self._units, self._displays = units, Displays(simulator.truth)
        self._installer = Installer(terminal, units, self._displays)
        self._ledger_commands = 0

    def done(self, speed: int) -> dict[str, object]:
        """Everything typed, and the figures."""
        begun = time.monotonic()
        self._at_the_ledger("show", "--trust", to=self._folder / "ledger.toml")
        for command in commands():
            if not speed or "192.168.1.30" not in command:
                self._type(command, speed)
        seconds = time.monotonic() - begun
        config = load_config(self._folder / "site" / "gateway.toml")
        right = [unit.name for unit in self._units if self._right(unit, config)]
        turned = {unit.name for unit in self._units if unit.reversed}
        page = self._folder / f"{self._units[0].name}.html"
        return {
            "seconds": round(seconds, 1),
            "commands": len(self._terminal.typed),
            "ledger_commands": self._ledger_commands,
            "meters": len(self._units),
            "meters_right": len(right),
            "wrong": sorted({unit.name for unit in self._units} - set(right)),
            "reversed_named": self._installer.named == turned,
            "records_signed": len(_commissioned(config)),
            "verified": "VERIFIED: a reading of meter" in self._terminal.screen,
            "page_bytes": page.stat().st_size if page.exists() else 0,
        }

    def _type(self, command: str, speed: int) -> None:
        here = command.replace("http://192.168.1.10:8700", self._ledger.url)
        for there, address in self._simulator.addresses().items():
            here = here.replace(there, address)
        if speed:
            here = here.replace(" --from-scan converter.json", "")
            if "meterseal scan" in here:
                here = here.replace(" --json", f" --baud {speed} --parity E --units 17,33 --json")
        self._terminal.type(here)
        if re.search(r"meterseal commission \S+$", here):
            self._installer.commission()
        code = self._terminal.done()
        if code:
            raise RuntimeError(f"{here}: exit code {code}\n{self._terminal.screen[-4000:]}")
        if " init " in here:
            if speed:
                self._quicken(self._folder / "site" / "gateway.toml")
            self._at_the_ledger("enroll", str(self._folder / "site" / "keys" / "gateway.enrol"), "--yes")

    def _quicken(self, config: Path) -> None:
        """Short periods, as a test needs them."""
        text = re.sub(r'every = "\d+s"', f'every = "{READ_EVERY}"', config.read_text())
        config.write_text(text.replace("stopbits = 1", f'stopbits = 1\nanswer_life = "{ANSWER_LIFE}"'))

    def _at_the_ledger(self, command: str, *options: str, to: Path | None = None) -> None:
        """What the ledger's operator types on the ledger's machine."""
        line = [sys.executable, "-m", "ledger_client.cli", command, str(self._ledger.folder), *options]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        self._ledger_commands += 1
        if to is not None:
            to.write_text(done.stdout)

    def _right(self, unit: Unit, config: Config) -> bool:
        """Its settings are those of the cabinet, and each recorded value is one that it answered."""
        meter = config.meters.get(unit.name)
        if meter is None or (meter.profile, meter.role, meter.reversed) != (unit.profile, unit.role, unit.reversed):
            return False
        if unit.ct and config.configured[unit.name].ratios.get("ct") != unit.ct:
            return False
        shown = _shown([answer for answer in self._displays.answers() if answer.meter == unit.name])
        readings = [body for body in _bodies(config, unit.name) if isinstance(body, Reading)]
        recorded = [{value.name: value.value for value in reading.values} for reading in readings]
        return bool(recorded) and all(
            agrees({name: shown[name] for name in values if name in shown}, values) and shown.keys() & values.keys()
            for values in recorded
        )


def _shown(answers: Sequence[Answer]) -> dict[str, list[Any]]:
    """All that a meter has ever answered, by point."""
    shown: dict[str, list[Any]] = defaultdict(list)
    for answer in answers:
        for name, value in answer.values.items():
            shown[name].append(value)
    return shown


def _bodies(config: Config, meter: str) -> list[Any]:
    """The records of a meter's chain."""
    store = Database(config.database, read_only=True)
    try:
        return [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == meter]
    finally:
        store.close()


def _commissioned(config: Config) -> list[Event]:
    bodies = [body for meter in config.meters for body in _bodies(config, meter)]
    return [body for body in bodies if is_commissioning_record(body)]
