"""The doctor on ledgers: whether each would take the next batch, and has taken the last."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.demo import finish
from gateway.config.model import Config
from gateway.doctor import ledgers
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.verification.trust_text import key_entry
from tests.gateway.doctor.test_doctor import NOW_MS, case, load_with, results
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger, free_port
from tests.support.samples import Hands, Machine
from tests.support.samples import site as make_site


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return make_site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def enrol(loaded: Config, folder: Path) -> None:
    done = apart("ledger_client.cli", "enroll", folder, loaded.keys / "gateway.enrol", "--yes")
    assert done.code == 0, done.err


def test_ledgers_that_answer_and_do_not(loaded: Config, tmp_path: Path) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    loaded = load_with(loaded, "http://127.0.0.1:8700", closed)
    assert results(ledgers.ledgers(case(loaded))) == [("ledger demo-ledger", "bad")] * 2  # no key, no answer
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        here = load_with(loaded, closed, ledger.url)
        with loaded.trust.open("a") as file:
            file.write(apart("ledger_client.cli", "show", ledger.folder, "--trust").out)
        (finding,) = ledgers.ledgers(case(here))
        assert finding.result == "bad"
        assert "would refuse the next batch: Unknown key" in finding.text
        assert "meterseal-ledger enroll" in finding.way_out
        enrol(here, ledger.folder)
        (finding,) = ledgers.ledgers(case(here))
        assert finding.result == "ok"
        assert "takes this gateway's statements: it holds no batch of this gateway yet" in finding.text
    optional = load_with(here, 'policy = "required"', 'policy = "optional"')
    assert results(ledgers.ledgers(case(optional))) == [("ledger demo-ledger", "warn")]
    entry = key_entry("ledger", PrivateKey.generate().public, 1_700_000_000, ledger="other")
    with loaded.trust.open("a") as file:
        file.write(entry)
    other = load_with(optional, 'name = "demo-ledger"', 'name = "other"')
    (listed, _) = ledgers.ledgers(case(other))
    assert "does not list it" in listed.text
    none = replace(loaded, document=loaded.document.model_copy(update={"ledger": ()}))
    assert results(ledgers.ledgers(case(none))) == [("ledgers", "warn")]


def test_a_broker_is_looked_for(loaded: Config) -> None:
    port = free_port()
    text = loaded.path.read_text().replace('type = "http"', 'type = "mqtt"')
    loaded.path.write_text(text)
    over_mqtt = load_with(loaded, "http://127.0.0.1:8700", f"mqtt://127.0.0.1:{port}")
    (_, answer) = ledgers.ledgers(case(over_mqtt))
    assert answer.result == "bad"
    assert "cannot be reached" in answer.text
    with socket.create_server(("127.0.0.1", port)):
        (_, answer) = ledgers.ledgers(case(over_mqtt))
    assert answer.result == "ok"


def test_the_doctor_asks_whether_the_last_batch_was_taken(loaded: Config, tmp_path: Path) -> None:
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        here = load_with(loaded, "http://127.0.0.1:8700", ledger.url)
        enrol(here, ledger.folder)
        with loaded.trust.open("a") as file:
            file.write(apart("ledger_client.cli", "show", ledger.folder, "--trust").out)
        machine = Machine()
        machine.wall_ms = int(time.time() - 3600) * 1000  # the ledger has a clock of its own
        for epoch in (b"first...", b"second.."):
            hands = Hands(here, machine, epoch=epoch)
            hands.poll(10)
            hands.end()
            finish.finish(here, within_s=30)
        (finding,) = ledgers.ledgers(case(here, machine.wall_ms))
        assert finding.result == "ok"
        last = int(finding.text.rsplit(" ", 1)[1])
        assert last >= 1
        hands = Hands(here, machine, epoch=b"waiting!")
        hands.poll(10)
        hands.end()
        (finding,) = ledgers.ledgers(case(here, machine.wall_ms))
        assert finding.result == "ok"
        assert f"; batch {last + 1} is pending until the gateway runs" in finding.text
        (finding,) = ledgers.ledgers(case(here, NOW_MS * 2, pid=1))
        assert finding.result == "bad"
        assert f"; batch {last + 1} is pending" in finding.text
        finish.finish(here, within_s=30)  # which seals the rest, too
        ledger.stop()
        ledger.folder.rename(tmp_path / "lost")
        ledger.start()
        enrol(here, ledger.folder)
        (finding,) = ledgers.ledgers(case(here, machine.wall_ms))
        assert finding.result == "bad"
        assert f"it gave a receipt for batch {last + 2} and no longer holds it" in finding.text
