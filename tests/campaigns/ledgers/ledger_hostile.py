"""The embedded ledger against strangers: hostile requests by the thousand, then many honest clients at once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.campaigns.ledgers.hostile import Hostile
from tests.campaigns.ledgers.hostile_client import Assault
from tests.campaigns.ledgers.ledger_load import enrolled, submit_all
from tests.support.gateways.weight import FLAT, weigh
from tests.support.ledger_site import CheckedLog
from tests.support.processes import EmbeddedLedger, embedded_ledger

# the limits of a ledger that is served without any option
LIMITS = ("--rate", "200", "--gateway-rate", "100", "--connections", "512")
SMALLEST = ({"requests": 300, "clients": 10, "statements": 5, "seed": 20},)


def run(requests: int = 5000, clients: int = 100, statements: int = 100, seed: int = 1) -> dict[str, object]:
    """No answer may be a 5xx, memory may not grow, every honest statement gets its receipt, and the log is in order."""
    with TemporaryDirectory() as folder, embedded_ledger(Path(folder) / "ledger", "bench", options=LIMITS) as ledger:
        hostile = _assault(ledger, Path(folder), requests, seed)
        honest = _load(ledger, Path(folder), clients, statements)
        assert "Traceback" not in ledger.log.read_text(), "the ledger met something that it did not expect"
        ledger.stop()
        held = CheckedLog(ledger.folder).check()
    assert sum(map(len, held.values())) == 1 + clients * statements, "the log holds something else than was taken"
    return {**hostile, **honest, "seed": seed}


def _assault(ledger: EmbeddedLedger, scratch: Path, requests: int, seed: int) -> dict[str, object]:
    (known,) = enrolled(ledger, scratch, 1, "known")
    assert submit_all(ledger, [known], 1).statuses == {201: 1}
    source, assault = Hostile(seed, known), Assault(ledger.port)
    attacks = [source.next() for _ in range(requests)]
    assault.send(attacks[: requests // 5])
    early = _resident(ledger)
    assault.send(attacks[requests // 5 :])
    late = _resident(ledger)
    return {
        "requests": requests,
        "answers_by_status": dict(sorted(assault.answers.items())),
        "server_errors": sum(count for status, count in assault.answers.items() if status.startswith("5")),
        "resident_20pct_mb": early,
        "resident_end_mb": late,
        "ratio": late / early,
        "flat": late / early <= FLAT,
    }


def _load(ledger: EmbeddedLedger, scratch: Path, clients: int, statements: int) -> dict[str, object]:
    load = submit_all(ledger, enrolled(ledger, scratch, clients), statements)
    return {
        "clients": clients,
        "statements": load.statuses.get(201, 0),
        "refused": {str(status): count for status, count in load.statuses.items() if status != 201},
        "statements_per_s": load.statuses.get(201, 0) / load.seconds,
        "p50_ms": load.percentile_ms(50),
        "p99_ms": load.percentile_ms(99),
    }


def _resident(ledger: EmbeddedLedger) -> float:
    assert ledger.process is not None
    return weigh(ledger.process.pid).resident_mb
