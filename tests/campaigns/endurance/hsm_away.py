"""The TPM with the statement key is stopped, goes on, and loses its power, under a gateway of real processes.

A simulated plant, an embedded ledger, and the shipped gateway, whose statement key is in a TPM of its own (swtpm under
libtpm2-pkcs11). The TPM is stopped (SIGSTOP) for ``seconds`` and goes on; then it is killed, and started after
``seconds`` as by a power cycle. Then the gateway is killed while the TPM is stopped, and started once it goes on.

``away_s``: how long after each of both it took until the alarm ``key-away`` stood; ``back_s``: until it was over.
``missed``: polls of all meters that were due in all that time and gave no reading, by reason, but for those while the
gateway was off; ``sealed_away``: batches sealed while the key was away, which cannot be. ``lost``: readings that a
meter answered and that no book explains; ``audit_findings``: what `meterseal-ledger audit` finds. In the end all books
hold (``demo_site.close_books``), or this fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.config.device_keys import REQUEST_FILE
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.transparency.ledger.enroll import enroll
from tests.support.gateways.apart import apart, audit_findings
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.support.tokens.swtpm import SwTpm, swtpm
from tests.system.demo_site import GatewayProcess, Plant, close_books, make_site, plant, until

SMALLEST: tuple[dict[str, Any], ...] = ({"seconds": 3.0, "call_s": 1.0, "retry_s": 1.0, "idle_s": 0.5},)
LIMITS = """import ledger_client.tokens.calls as calls
calls.STANDARD = calls.Limits({call_s}, {retry_s}, {idle_s})
"""
"""A ``sitecustomize`` module: other limits than those in service."""


def run(seconds: float = 60.0, call_s: float = 5.0, retry_s: float = 10.0, idle_s: float = 4.0) -> dict[str, object]:
    """With other limits than those in service where they are given (``ledger_client.tokens.calls``)."""
    limits = {"call_s": call_s, "retry_s": retry_s, "idle_s": idle_s}
    with tempfile.TemporaryDirectory() as name, swtpm(Path(name) / "tpm") as token, _site(Path(name), token) as site:
        loaded, ledger, meters = site
        hooks = Path(name) / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(LIMITS.format(**limits))
        gateway = GatewayProcess(loaded, {**os.environ, **token.env, "PYTHONPATH": str(hooks)})
        _flush(token)
        gateway.start()
        try:
            _sealed(loaded, 1)
            halts = [_halt(loaded, seconds, token.tpm.suspend, token.tpm.resume)]
            halts += [_halt(loaded, seconds, token.tpm.kill, token.tpm.start)]
            token.tpm.suspend()
            until("the alarm", lambda: _away(loaded))
            gateway.kill()
            token.tpm.resume()
            _flush(token)
            gateway.start()
            _sealed(loaded, 2)
            assert gateway.stop() == 0
        finally:
            gateway.close()
        balances = close_books(loaded, ledger, meters)
        return {
            "seconds": seconds,
            "away_s": [halt["away_s"] for halt in halts],
            "back_s": [halt["back_s"] for halt in halts],
            "readings_away": [halt["readings"] for halt in halts],
            "sealed_away": sum(int(halt["sealed"]) for halt in halts),
            "missed": _missed(loaded),
            "lost": sum(balance.lost for balance in balances.values()),
            "audit_findings": audit_findings(loaded),
        }


@contextmanager
def _site(folder: Path, token: SwTpm) -> Iterator[tuple[Config, EmbeddedLedger, Plant]]:
    """A site whose statement key is in the token, enrolled at its ledger."""
    with plant(folder / "plant") as meters, embedded_ledger(folder / "ledger", "demo-ledger") as ledger:
        loaded = make_site(folder / "site", meters, ledger)
        text = loaded.path.read_text()
        stated = {"statement_key": token.uri("statement"), "pkcs11_module": token.module, "pin_file": token.pin_file}
        lines = "".join(f'{key} = "{value}"\n' for key, value in stated.items())
        loaded.path.write_text(text.replace("[gateway]\n", f"[gateway]\n{lines}", 1))
        (loaded.keys / "statement.pem").unlink()
        (loaded.keys / REQUEST_FILE).unlink()
        made = apart("gateway.cli", "keys", loaded.path, "--make-missing", "--json")
        assert made.facts["made"] == ["statement"], made
        loaded = load_config(loaded.path)
        enroll(ledger.folder, loaded.keys / REQUEST_FILE, add_key=True)
        yield loaded, ledger, meters


def _flush(token: SwTpm) -> None:
    """Take away what a process that has ended left in the TPM, as the kernel's resource manager does."""
    for what in ("-t", "-l", "-s"):
        subprocess.run(["tpm2_flushcontext", what], check=True, capture_output=True, env={**os.environ, **token.env})


def _halt(loaded: Config, seconds: float, stop: Any, go_on: Any) -> dict[str, float]:
    began, readings, sealed = time.monotonic(), _count(loaded, "readings"), _count(loaded, "batches")
    stop()
    until("the alarm", lambda: _away(loaded))
    away_s = time.monotonic() - began
    readings, sealed = _count(loaded, "readings"), _count(loaded, "batches")
    time.sleep(seconds)
    halt = {"readings": _count(loaded, "readings") - readings, "sealed": _count(loaded, "batches") - sealed}
    began = time.monotonic()
    go_on()
    until("the end of the alarm", lambda: not _away(loaded))
    back_s = time.monotonic() - began
    _sealed(loaded, 2)
    return {**halt, "away_s": away_s, "back_s": back_s}


def _away(loaded: Config) -> bool:
    """Whether the alarm stands, by the gateway's own list."""
    store = Database(loaded.database, read_only=True)
    try:
        return any(row.code == "key-away" and row.active for row in store.alarms.open())
    finally:
        store.close()


def _count(loaded: Config, what: str) -> int:
    store = Database(loaded.database, read_only=True)
    try:
        return store.totals()[what]
    finally:
        store.close()


def _sealed(loaded: Config, more: int) -> None:
    """Wait for so many batches more."""
    wanted = _count(loaded, "batches") + more
    until("batches", lambda: _count(loaded, "batches") >= wanted)


def _missed(loaded: Config) -> dict[str, int]:
    store = Database(loaded.database, read_only=True)
    try:
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.kind == "coverage"]
    finally:
        store.close()
    missed = Counter[str]()
    for body in bodies:
        missed.update(body.missed if isinstance(body, Coverage) else {})
    del missed["stopped"]
    return dict(missed)


if __name__ == "__main__":
    print(json.dumps(run(**SMALLEST[0])))
