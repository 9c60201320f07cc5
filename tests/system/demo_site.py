"""A whole site of real processes: simulated plant, embedded ledger, gateway, joined as the README says."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.cli.demo.balance import Account, account, read_answers
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.profile import CATALOG
from gateway.storage.database import Database
from ledger_client.ledgers.http import HttpLedger
from tests.support.books import check_all_is_sealed, check_books, check_ledger_log
from tests.support.commands import check_audit
from tests.support.gateways.sites import before, believe, init_site
from tests.support.processes import EmbeddedLedger, Server
from tests.support.timely import check_times

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 60.0


def until(what: str, found: Callable[[], Any]) -> Any:
    """Wait until ``found`` gives something true, and return it; fails after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


class Plant(Server):
    """The demo's plant, with a free TCP port; every answer that it gives is in ``answers``.

    ``last``: the bus of another scenario that is ready last, where none has a port to be chosen.
    """

    def __init__(self, folder: Path, scenario: Path, last: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.answers, self._ready_file = folder / "answers.jsonl", folder / "ready.json"
        self._scenario = scenario
        options = ["--dir", folder, "--log", self.answers, "--ready", self._ready_file]
        options += [] if last else ["--port", "inverter=0"]
        line = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(scenario), *map(str, options)]
        super().__init__("plant", line, f"bus {last or 'inverter'}", folder / "plant.log")

    def close(self) -> None:
        """End it in order: a link that a killed one leaves leads to whoever gets that pseudo-terminal next."""
        if self.process is not None:
            assert self.stop() == 0

    def exchange(self, old: str, new: str) -> None:
        """Where a device with the serial number ``old`` stood there is one with ``new`` from now on."""
        self.change(f'serial = "{old}"', f'serial = "{new}"')

    def change(self, *replaced: str) -> None:
        """Start again with each first of these texts of its scenario replaced by the one behind it."""
        text = self._scenario.read_text()
        for old, new in zip(replaced[::2], replaced[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        scenario = self.answers.with_name("exchanged.toml")
        scenario.write_text(text)
        self.command[self.command.index(str(self._scenario))] = str(scenario)
        self._scenario = scenario
        assert self.stop() == 0
        self.start()

    def lines(self) -> dict[str, Any]:
        """Where its buses are."""
        found: dict[str, Any] = until(
            "the plant", lambda: self._ready_file.exists() and json.loads(self._ready_file.read_text())
        )
        return dict(found["lines"])


@contextmanager
def plant(
    folder: Path, scenario: Path = ROOT / "configs" / "demo" / "plant.toml", last: str | None = None
) -> Iterator[Plant]:
    """A running plant; ``last`` as of ``Plant``."""
    running = Plant(folder, scenario, last)
    try:
        running.start()
        yield running
    finally:
        running.close()


class GatewayProcess(Server):
    """`meterseal run` of a configuration."""

    def __init__(self, loaded: Config, env: dict[str, str] | None = None, ready: str = "records") -> None:
        line = [sys.executable, "-u", "-m", "gateway.cli", "run", str(loaded.path)]
        super().__init__("gateway", line, ready, loaded.path.with_name("gateway.log"), env)


def make_site(
    folder: Path,
    running: Plant,
    ledger: EmbeddedLedger,
    broker_url: str | None = None,
    *,
    every: str = "1s",
    inverter_every: str = "1s",
    seal_every: str = "2s",
) -> Config:
    """init → enroll → the ledger's key into trust.toml; over MQTT when a broker's address is given.

    Profiles are copies of the catalog's with what is true of the simulator: it speaks Modbus TCP itself, and answers
    within 100 ms, so that short periods and quick restarts need no waiting for late answers.
    """
    lines = running.lines()
    path = init_site(
        folder,
        gateway="test-gateway",
        now_s=before(0),
        port=lines["rs485-1"]["port"],
        sunspec_port=lines["inverter"]["port"],
        ledger=ledger.name,
        ledger_url=broker_url or ledger.url,
        every=every,
        co2_every=every,
        seal_every=seal_every,
    ).path
    text = path.read_text()
    for name in ("eastron-sdm630", "vaisala-gmp252", "sunspec-inverter"):
        text = text.replace(f'"{name}"', f'"{name}.toml"')
        (folder / f"{name}.toml").write_text(_quick((CATALOG / f"{name}.toml").read_text()))
    head, inverter = text.split('name = "pv-inverter"')
    inverter = inverter.replace(f'every = "{every}"', f'every = "{inverter_every}"', 1)
    path.write_text(f'{head}name = "pv-inverter"{inverter}')
    loaded = load_config(path)
    believe(ledger.folder, loaded)
    return loaded


def _quick(profile: str) -> str:
    lines = [line for line in profile.splitlines() if not line.startswith(("answer_life_ms", "direct"))]
    first_table = next(i for i, line in enumerate(lines) if line.startswith("["))
    return "\n".join([*lines[:first_table], "answer_life_ms = 200", "direct = true", *lines[first_table:]]) + "\n"


def close_books(loaded: Config, ledger: EmbeddedLedger, meters: Plant) -> dict[str, Account]:
    """Seal and anchor what an ended gateway left, then open all books: its own, the ledger's and the meters'.

    Every chain, interval, batch and receipt holds, every record is in one batch, the ledger has every batch once, and
    nothing that a meter answered is lost; an audit of what it exports finds nothing. Returns each meter's balance.
    """
    finish.finish(loaded, within_s=30)
    check_books(loaded)
    check_times(loaded)
    check_all_is_sealed(loaded)
    log = HttpLedger(ledger.name, ledger.url)
    check_ledger_log(loaded, log.statements(loaded.gateway_id, -1))
    log.close()
    store = Database(loaded.database, read_only=True)
    balances = account(store, read_answers(meters.answers))
    store.close()
    check_audit(loaded)
    assert {meter: balance.lost for meter, balance in balances.items()} == dict.fromkeys(loaded.meters, 0)
    return balances
