"""A demonstration's ledger on a moved clock, as a real process; no other ledger takes one."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Pending
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from tests.support.enrolled import TIMES_MS, Gateway
from tests.support.processes import embedded_ledger

THEN_S = TIMES_MS[1] // 1000


def receipted_s(driver: HttpLedger, entry: bytes) -> int:
    receipt = driver.submit(entry)
    assert not isinstance(receipt, Pending)
    iat = parse_receipt(receipt).iat
    assert iat is not None
    return iat


def test_receipts_bear_the_time_that_the_file_says(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(THEN_S))
    gateway = Gateway("gw-1")
    with embedded_ledger(tmp_path / "ledger", "demo-ledger", options=("--demo-clock", str(clock))) as ledger:
        enroll(ledger.folder, gateway.request(tmp_path))
        assert "valid_from = 2023-11-14T22:14:20Z" in trust_entry(ledger.folder)
        with closing(HttpLedger(ledger.name, ledger.url)) as driver:
            first = gateway.sign(0, None, iat=THEN_S)
            assert receipted_s(driver, first) == THEN_S
            now_ms = int(time.time() * 1000)
            second = gateway.sign(1, statement_id(first), times_ms=(now_ms - 1000, now_ms))
            with pytest.raises(Refused, match="Not yet"):
                driver.submit(second)
            clock.write_text("soon")
            with pytest.raises(LedgerUnavailable):
                driver.submit(second)
            clock.unlink()
            began_s = int(time.time())
            assert began_s <= receipted_s(driver, second) <= time.time()


@pytest.mark.parametrize("name", [[], ["--name", "registry"]], ids=["none", "another"])
def test_only_a_demonstration_has_one(tmp_path: Path, name: list[str]) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(THEN_S))
    command = [sys.executable, "-m", "ledger_client.cli", "serve", str(tmp_path / "ledger"), *name]
    done = subprocess.run([*command, "--demo-clock", str(clock)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "--demo-clock" in done.stderr
    assert "fix: give --name demo-NAME" in done.stderr
    assert not (tmp_path / "ledger").exists()
