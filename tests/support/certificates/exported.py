"""A station with a device, its statement, and a ledger in whose log its hour has certificates."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger_client.accounting.formats.rows import parse_row
from ledger_client.claims.claim import Issue, Origin, Retire
from ledger_client.formats.record import record_hash
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LOG, open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log.log import Log
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.certificates.claimed import Party, enrol
from tests.support.evidence import GATEWAY, trust_text

NAME = "reg"
BILL = b"a bill of 359 kWh"
DEVICE: dict[str, Any] = {
    "id": "CN-HY-1", "name": "unit 1", "source": "hydro", "technology": "turbine", "capacity": 1_000_000,
    "commissioned": "2023-06-01", "location": "23.13,113.26", "configuration": 3, "class": "tradable", "scheme": "gc",
}  # fmt: skip


@dataclass
class ExportedSite:
    """Batches, rows and trust file of a station; the folder of a ledger with certificates of its quarters."""

    files: list[Path]
    rows: Path
    trust: Path
    ledger: Path
    period: bytes
    units: list[int]
    from_ms: int

    def opened(self) -> Log:
        """The ledger's log."""
        return Log.open(self.ledger / LOG, read_only=True)


def write_trust(path: Path) -> Path:
    """The trust file that knows the station's gateway, meter and ledger."""
    path.write_text(trust_text())
    return path


def exported_site(folder: Path) -> ExportedSite:
    """An hour of quarters, all of it settled, and a certificate of each quarter; one is retired in part."""
    folder.mkdir(exist_ok=True)
    site = Accounted(folder)
    from_ms = site.from_ms
    node = {"role": "production", "terms": [[1, POINT]], "profile": "own-test", "certificate": DEVICE, "zone": "CN-GD"}
    site.publish(plan_fields(from_ms, nodes={"station": node}))
    site.polls(400)
    site.seal()
    to_ms = from_ms + 4 * QUARTER_MS
    statement, rows = site.state(from_ms, to_ms, (0, 0))
    period = record_hash(site.rows[-1])
    bill: dict[str, Any] = {
        "values": {"value": 359}, "unit": "kWh", "reason": "bill", "user": "accountant",
        "document": sha256(BILL).digest(),
    }  # fmt: skip
    site.event("entry", kind="settlement", of="station", **{"from": from_ms}, to=to_ms, **bill)
    site.polls(2)
    site.seal()
    units = [(parse_row(row).amount or 0) // 1000 for row in statement.rows]
    issuer, owner = Party("issuer-1", "issuer", NAME), Party("a", "party", NAME)
    ledger = folder / "ledger"
    with closing(open_dir(ledger, NAME)) as opened:
        enrol(opened.policy, [issuer, owner])
        service = Service(opened, CommittedPolicy.begun(opened))
        for n, made in enumerate(units):
            origin = Origin(GATEWAY, "station", DEVICE["id"], from_ms + n * QUARTER_MS, from_ms + (n + 1) * QUARTER_MS)
            deed = Issue(origin, made, "a", period, bytes([n]) * 32)
            service.submit(issuer.sign(deed))
        service.submit(owner.sign(Retire(issuer.cert(deed), (0, 10), "RE100", from_ms, to_ms)))
    return ExportedSite(site.files, rows, write_trust(folder / "trust.toml"), ledger, period, units, from_ms)
