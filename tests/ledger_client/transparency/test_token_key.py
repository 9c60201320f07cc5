"""A ledger whose key is in a token: into it, to another and back; away, and back; nothing that it took is lost."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.errors import KeyAway, LedgerUnavailable
from ledger_client.formats.receipt import parse_receipt
from ledger_client.ledgers.http import HttpLedger
from ledger_client.messages import Message
from ledger_client.tokens.token import forget_modules
from ledger_client.tokens.uri import TokenUri
from ledger_client.transparency.ledger.held_key import KeyUnavailable
from ledger_client.transparency.server.key_watch import KeyWatch
from ledger_client.verification.vouching import check_receipt
from tests.ledger_client.transparency.test_cli import complaint, run
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Place, persist
from tests.support.processes import embedded_ledger
from tests.support.tokens.engine import Engine
from tests.support.tokens.served import token_ledger
from tests.support.tokens.softhsm import softhsm
from tests.support.tokens.swtpm import SwTpm, swtpm

NAME = "demo-ledger"


def check_receipts(place: Place, gateway: Gateway, receipts: list[bytes]) -> None:
    """Each counts for whoever believes this ledger today, and the log is in order."""
    for batch, receipt in enumerate(receipts):
        assert check_receipt(gateway.statement(batch), receipt, place.trust(), int(time.time()))[0] == NAME
    assert place.held(gateway) == list(range(len(receipts)))


def test_a_key_goes_into_a_token_to_another_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with softhsm(tmp_path / "hsm") as hsm:
        run("init", folder, *hsm.options("first"))
        assert not (folder / "key.pem").exists()
        gateway, receipts = Gateway("gw"), []
        place = Place(folder, NAME, tmp_path)
        place.enroll(gateway)
        moves = [[], ["--to", hsm.uri("second")], [], hsm.options("third", "--to")]
        uris = [hsm.uri("first"), hsm.uri("second"), None, hsm.uri("third")]
        with embedded_ledger(folder, NAME) as ledger:
            with closing(HttpLedger(NAME, ledger.url, timeout_s=20)) as driver:
                for batch, move in enumerate(moves):
                    if batch:
                        run("rotate", folder, *move)
                    receipts.append(persist(driver, gateway.statement(batch)))
                    assert json.loads(run("show", folder, "--json").out)["key_uri"] == uris[batch]
                    assert (folder / "key.pem").exists() == (batch == 2)
                    assert (folder / "key.toml").exists() == (batch != 2)
            ledger.stop()
            ledger.start()  # with no option
            with closing(HttpLedger(NAME, ledger.url, timeout_s=20)) as driver:
                receipts.append(persist(driver, gateway.statement(4)))
        check_receipts(place, gateway, receipts)
        kids = [parse_receipt(receipt).kid for receipt in receipts]
        assert len(set(kids)) == 4
        assert kids[3] == kids[4]


def test_a_key_goes_from_a_file_into_a_tpm_and_back(tmp_path: Path) -> None:
    """While the ledger is stopped: without a resource manager one process at a time has the TPM. With power cycles."""
    folder = tmp_path / "ledger"
    with swtpm(tmp_path / "tpm") as tpm:
        run("init", folder)
        gateway, receipts = Gateway("gw"), []
        place = Place(folder, NAME, tmp_path)
        place.enroll(gateway)
        for batch, move in enumerate(([], tpm.options("ledger", "--to"), [])):
            if batch:
                run("rotate", folder, *move)
                forget_modules()
                tpm.tpm.kill()  # what a process leaves in it only a resource manager clears away, or a power cycle
                tpm.tpm.start()
            assert (folder / "key.pem").exists() == (batch != 1)
            with (
                embedded_ledger(folder, NAME) as ledger,
                closing(HttpLedger(NAME, ledger.url, timeout_s=20)) as driver,
            ):
                receipts.append(persist(driver, gateway.statement(batch)))
        check_receipts(place, gateway, receipts)
        assert len({parse_receipt(receipt).kid for receipt in receipts}) == 3


def test_what_does_not_name_a_key_makes_no_ledger(tmp_path: Path) -> None:
    with softhsm(tmp_path / "hsm") as hsm:
        uri, *rest = hsm.options("ledger")[1:]
        folder = tmp_path / "ledger"
        assert "PIN" in complaint("init", folder, "--key-uri", uri + "?pin-value=1234", *rest)
        assert "--pin-file" in complaint("init", folder, "--key-uri", uri, *rest[:2])
        assert "it has site" in complaint("init", folder, "--key-uri", "pkcs11:token=other;object=ledger", *rest)
        hsm.write_pin("000000")
        assert "refused" in complaint("init", folder, "--key-uri", uri, *rest)
        assert not (folder / "log.db").exists()


def test_a_ledger_keeps_to_the_key_that_it_has(tmp_path: Path) -> None:
    with softhsm(tmp_path / "hsm") as hsm:
        folder = tmp_path / "ledger"
        run("init", folder)
        assert "rotate" in complaint("serve", folder, *hsm.options("ledger"))
        run("rotate", folder, "--prepare")
        assert "another next key" in complaint("rotate", folder, *hsm.options("ledger", "--to"))


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwTpm]:
    with swtpm(tmp_path_factory.mktemp("tpm") / "tpm") as made:
        yield made


class TpmLedger(Place):
    """A ledger on a TPM, with a gateway that submits one statement after the other."""

    def __init__(self, url: str, folder: Path, engine: Engine) -> None:
        super().__init__(folder, NAME, folder.parent)
        self.url, self.engine = url, engine
        self.gateway = self.enroll(Gateway("gw"), valid_from=1)
        self.receipts: list[bytes] = []

    def take(self, driver: HttpLedger) -> None:
        self.receipts.append(persist(driver, self.gateway.statement(len(self.receipts))))

    def refused(self) -> tuple[int, str | None, str]:
        """Status, Retry-After and text of its health."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=20) as answer:
                return answer.status, None, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Retry-After"], error.read().decode()


def test_a_tpm_that_is_stopped_killed_and_power_cycled_loses_no_receipt(tpm: SwTpm, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    run("init", folder, *tpm.options("ledger"))
    forget_modules()  # it speaks to one process at a time
    with token_ledger(folder, NAME) as served, closing(HttpLedger(NAME, served.url, timeout_s=20)) as driver:
        ledger = TpmLedger(served.url, folder, tpm)
        ledger.take(driver)
        ledger.take(driver)
        consistency = driver_answer(served.url, "/log/consistency?from=1&to=2")
        for away, back in ((tpm.tpm.suspend, tpm.tpm.resume), (tpm.tpm.kill, tpm.tpm.start)):
            away()
            with pytest.raises(LedgerUnavailable):
                driver.submit(ledger.gateway.statement(len(ledger.receipts)))
            assert ledger.refused()[:2] == (503, "10")
            assert driver.submit(ledger.gateway.statement(0)) == ledger.receipts[0]  # what is signed is given again
            assert driver_answer(served.url, "/log/consistency?from=1&to=2") == consistency
            back()
            ledger.take(driver)
            assert ledger.refused()[0] == 200
        tpm.tpm.kill()
        tpm.tpm.start()
        ledger.take(driver)
        served.kill()
        served.start()
        ledger.take(driver)
        check_receipts(ledger, ledger.gateway, ledger.receipts)


def test_a_ledger_that_starts_while_its_token_is_away_says_why_and_signs_when_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with softhsm(tmp_path / "hsm") as hsm:
        run("init", folder, *hsm.options("ledger"))
        forget_modules()
        hsm.unplug()
        with token_ledger(folder, NAME) as served, closing(HttpLedger(NAME, served.url, timeout_s=20)) as driver:
            ledger = TpmLedger(served.url, folder, hsm)
            status, _, text = ledger.refused()
            assert (status, text.split(";")[0]) == (503, "key-away: token-none")
            assert str(hsm.module) not in text
            hsm.plug()
            ledger.take(driver)
            assert ledger.refused()[0] == 200
        output = served.log.read_text()
        assert f"key-away: {hsm.module} has no token {TokenUri.parse(hsm.uri('ledger')).of_token.to_text()}" in output
        assert "fix: connect the token" in output
        check_receipts(ledger, ledger.gateway, ledger.receipts)


def test_what_the_output_says_of_a_key_that_goes_away_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    silent = KeyUnavailable(KeyAway(Message("token-silent", limit_s=5)))
    states = [None, silent, silent, KeyUnavailable(KeyAway(Message("token-failed", error="x"))), None, None]
    following = iter(states)
    watch = KeyWatch(lambda: next(following))
    lines = []
    for _ in states:
        caplog.clear()
        watch.look()
        lines.append([record.levelname for record in caplog.records])
    assert lines == [[], ["ERROR"], [], ["ERROR"], ["WARNING"], []]


def driver_answer(url: str, path: str) -> bytes:
    with urllib.request.urlopen(url + path, timeout=20) as answer:
        return bytes(answer.read())
