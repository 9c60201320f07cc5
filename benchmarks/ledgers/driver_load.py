"""Many gateways at one ledger by the shipped drivers, each in a thread of its own, its statements in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.interface import Ledger, Pending
from tests.campaigns.ledgers.ledger_load import Load
from tests.support.enrolled import Gateway

_PATIENCE_S = 60.0
SETTLED = 201


def drive(drivers: Sequence[Ledger], gateways: Sequence[Gateway], statements: int) -> Load:
    """Each gateway's first ``statements`` statements, the next one when the one before has what settles it."""
    entries = [[gateway.statement(batch) for batch in range(statements)] for gateway in gateways]
    load = Load()
    with ThreadPoolExecutor(len(drivers)) as pool:
        began = time.perf_counter()
        work = [pool.submit(_client, driver, part) for driver, part in zip(drivers, entries, strict=True)]
        for done in work:
            load.latencies_s += done.result()
        load.seconds = time.perf_counter() - began
    load.statuses = {SETTLED: len(load.latencies_s)}
    return load


def _client(driver: Ledger, entries: list[bytes]) -> list[float]:
    latencies, pause = [], threading.Event()
    for entry in entries:
        began = time.perf_counter()
        answer: bytes | Pending | None = driver.submit(entry)
        while not isinstance(answer, bytes):
            assert time.perf_counter() - began < _PATIENCE_S, "the ledger gives no receipt"
            pause.wait(answer.retry_after_s if isinstance(answer, Pending) else 0.01)
            answer = driver.lookup(statement_id(entry))
        latencies.append(time.perf_counter() - began)
    return latencies
