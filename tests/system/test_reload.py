"""A running gateway takes over a changed configuration, and goes back by itself when that costs it a meter."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Quality, Reading
from ledger_client.verification.trust_text import key_entry
from tests.support.gateways.apart import apart
from tests.support.processes import EmbeddedLedger, Server, embedded_ledger
from tests.system.demo_site import Plant, close_books, make_site, plant, until

METER, CO2, INVERTER = "export-main", "stack-co2", "pv-inverter"
FEED = '[[feed]]\nname = "scada"\ntype = "json"\nurl = "mqtts://127.0.0.1:1"\nuser = "u"\npassword_file = "none"\n'
PATIENT_S = 10
RUN = f"import gateway.agent.reload as r; r.AT_LEAST_S = {PATIENT_S}; from gateway.cli.app import main; main()"


class Site:
    """The demo's plant with a gateway that waits for lost meters for a few seconds only."""

    def __init__(self, folder: Path, meters: Plant, ledger: EmbeddedLedger) -> None:
        self.meters, self.ledger = meters, ledger
        self.loaded = make_site(folder, meters, ledger, every="1s", inverter_every="250ms", seal_every="2s")
        line = [sys.executable, "-u", "-c", RUN, "run", str(self.loaded.path)]
        self.gateway = Server("gateway", line, "records", folder / "gateway.log")

    def rewrite(self, old: str, new: str) -> Config:
        text = self.loaded.path.read_text()
        assert old in text
        self.loaded.path.write_text(text.replace(old, new, 1))
        return load_config(self.loaded.path)

    def reload(self, *options: str) -> dict[str, Any]:
        done = apart("gateway.cli", "reload", self.loaded.path, "--yes", "--json", *options)
        assert done.code in (0, 1), done.err
        return dict(done.facts)

    def records(self, meter: str) -> list[Any]:
        store = Database(self.loaded.database, read_only=True)
        try:
            return [parse_record(row.data) for row in store.records.rows(1, 1 << 60) if row.meter == meter]
        finally:
            store.close()

    def readings(self, meter: str) -> list[Reading]:
        return [record.body for record in self.records(meter) if isinstance(record.body, Reading)]

    def changes(self) -> list[Event]:
        """What the gateway says of changes of its configuration."""
        bodies = [record.body for record in self.records("gateway")]
        return [body for body in bodies if isinstance(body, Event) and body.fields.get("at") == "change"]


def beside_it(path: Path) -> None:
    """What other commands say of a line that the running gateway has open: never to end it for the port's sake."""
    checked = apart("gateway.cli", "check", path)
    assert checked.code == 0, checked.err
    assert "the gateway is running" in checked.out
    polled = apart("gateway.cli", "read", path, METER)
    assert (polled.code, "meterseal readings" in polled.err) == (2, True)
    second = apart("gateway.cli", "run", path)
    assert (second.code, "another gateway process" in second.err) == (2, True)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        made = Site(tmp_path / "site", meters, ledger)
        made.gateway.start()
        try:
            until("readings of every meter", lambda: all(len(made.readings(m)) > 3 for m in made.loaded.meters))
            yield made
        finally:
            made.gateway.close()


def test_only_what_changed_is_opened_again_and_nothing_is_lost(here: Site) -> None:
    beside_it(here.loaded.path)
    co2 = here.loaded.path.read_text().split('name = "stack-co2"')[1].split("[[bus]]")[0]
    here.rewrite(co2, co2.replace('every = "1s"', 'every = "1500ms"'))
    before = len(here.readings(INVERTER))
    done = here.reload("--wait")
    assert (done["opened"], done["closed"], done["reverted"]) == (["rs485-1"], [], None)
    assert done["changes"] == [
        "- bus rs485-1, meter stack-co2, every = 1s", "+ bus rs485-1, meter stack-co2, every = 1500ms"
    ]  # fmt: skip
    assert not here.reload()["done"]
    with here.loaded.trust.open("a") as trust:
        trust.write("\n" + key_entry("ledger", PrivateKey.generate().public, 1_700_000_000, ledger="another"))
        trust.write("\n" + key_entry("issuer", PrivateKey.generate().public, 1_700_000_000, party="reg"))
    done = here.reload()
    assert (done["done"], done["opened"], done["ledgers"]) == (True, [], True)
    assert [line.partition(",")[0] for line in done["changes"]] == [
        "+ trust file: ledger key of another", "+ trust file: issuer key of reg"
    ]  # fmt: skip
    until("more readings", lambda: len(here.readings(INVERTER)) > before + 8)
    event, _ = here.changes()
    assert (event.fields["why"], event.fields["anew"]) == ("reload", [METER, CO2])
    assert "command line" in event.fields["user"]
    epochs = {record.claims.epoch for meter in here.loaded.meters for record in here.records(meter)}
    assert len(epochs) == 1
    flags = [next(iter(reading.values)).quality & Quality.CONFIG_CHANGED for reading in here.readings(METER)]
    assert sum(1 for flag in flags if flag) == 1
    stopped = [r.body.missed.get("stopped", 0) for r in here.records(INVERTER) if isinstance(r.body, Coverage)]
    assert not any(stopped)
    assert here.gateway.stop() == 0
    close_books(here.loaded, here.ledger, here.meters)


def test_a_meter_that_answers_nothing_any_more_brings_the_old_configuration_back(here: Site) -> None:
    """The last that has shown that it holds: not the one that another change came upon while it was on trial."""
    here.rewrite("address = 240", "address = 99")
    assert here.reload()["done"]
    here.rewrite('every = "250ms"', 'every = "500ms"')
    assert here.reload()["done"]
    done = here.reload("--wait")  # nothing is changed any more: the outcome of the change on trial
    assert "no answer from stack-co2" in str(done["reverted"])
    since = len(here.readings(CO2))
    until("the meter again", lambda: len(here.readings(CO2)) > since + 3)
    assert [e.fields["why"].partition(":")[0] for e in here.changes()] == [
        "reload", "reload", "rolled back to the previous configuration"
    ]  # fmt: skip
    status = apart("gateway.cli", "status", here.loaded.path)
    assert status.code == 1
    assert "previous configuration is in force again" in " ".join(status.out.split())
    here.rewrite("address = 99", "address = 240")
    here.rewrite('every = "500ms"', 'every = "250ms"')
    done = here.reload("--wait")
    assert (done["nothing"], done["reverted"]) == (True, None)  # that outcome is known
    assert here.gateway.stop() == 0
    close_books(here.loaded, here.ledger, here.meters)


def test_what_cannot_be_taken_over_is_refused_and_touches_nothing(here: Site) -> None:
    path = here.loaded.path
    good = path.read_text()
    for old, new, words in (
        ('id = "test-gateway"', 'id = "another"', "gateway, id"),
        ('name = "stack-co2"', 'name = "new-meter"', "--make-missing"),
        ('every = "1s"', 'every = "100ms"', "rs485-1"),
        ("baudrate = 9600", "baud = 9600", "baudrate"),
        ("[seal]", f"{FEED}[seal]", "feed 'scada', password_file"),
    ):
        path.write_text(good.replace(old, new))
        refused = apart("gateway.cli", "reload", path, "--yes")
        assert (refused.code, words in refused.err) == (2, True), refused.err
        assert "Traceback" not in refused.err
    path.write_text(good.replace('every = "250ms"', 'every = "500ms"'))
    with pytest.raises(GatewayError, match="changed since the preview"):
        control_socket.give(here.loaded.data, "reload", fingerprint="00" * 32, user="replayed")
    asked = apart("gateway.cli", "reload", path)
    assert asked.code == 1
    assert "nothing was changed" in asked.err
    assert not here.changes()
    path.write_text(good)
    assert here.gateway.process is not None
    os.kill(here.gateway.process.pid, signal.SIGTERM)
    assert here.gateway.process.wait(30) == 0
    nobody = apart("gateway.cli", "reload", path, "--yes")
    assert nobody.code == 2
    assert "no gateway is running here" in nobody.err
