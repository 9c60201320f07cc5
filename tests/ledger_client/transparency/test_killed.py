"""SIGKILL while many submit: a receipt that left is the one that stands, and nothing is doubled or out of order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ledger_client.formats.statement import statement_id
from tests.support.enrolled import Gateway
from tests.support.ledger_site import PATIENCE_S, Site, persist, site

GATEWAYS, STATEMENTS, KILLS = 8, 30, 4


def test_a_receipt_that_left_survives_any_kill(tmp_path: Path) -> None:
    with site(tmp_path) as demo:
        gateways = [demo.enroll(Gateway(f"gw-{number}")) for number in range(GATEWAYS)]
        given: dict[bytes, bytes] = {}
        arrived = threading.Semaphore(0)

        def run(gateway: Gateway) -> None:
            with demo.driver("http", timeout_s=5.0) as driver:
                for batch in range(STATEMENTS):
                    entry = gateway.statement(batch)
                    given[statement_id(entry)] = persist(driver, entry)
                    arrived.release()

        with ThreadPoolExecutor(GATEWAYS) as pool:
            runs = [pool.submit(run, gateway) for gateway in gateways]
            for _ in range(KILLS):
                for _ in range(GATEWAYS * STATEMENTS // (KILLS + 1)):
                    assert arrived.acquire(timeout=PATIENCE_S)
                demo.ledger.kill()
                demo.ledger.start()
            for done in runs:
                done.result()
        _all_stands(demo, gateways, given)


def _all_stands(demo: Site, gateways: list[Gateway], given: dict[bytes, bytes]) -> None:
    assert len(given) == GATEWAYS * STATEMENTS
    with demo.driver("http") as driver:
        for id_, receipt in given.items():
            assert driver.lookup(id_) == receipt
    for gateway in gateways:
        assert demo.held(gateway) == list(range(STATEMENTS))
