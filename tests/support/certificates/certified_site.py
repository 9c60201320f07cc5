"""A station whose quarters are certified at a running embedded ledger: a gateway's database with its statements, an
issuer and two holders at the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.accounting.certified.asking import Registries
from gateway.accounting.plans.history import History, history_of
from gateway.accounting.statements.stating import Part, keep_rows, make
from gateway.config.load import load_config
from gateway.records import GATEWAY
from ledger_client.accounting.formats.rows import Rows, parse_row, row_bytes
from ledger_client.claims.claim import Deed, Issue, Origin
from ledger_client.ledgers.http_registry import HttpRegistry
from ledger_client.transparency.ledger.directory import open_dir
from tests.support.certificates.claimed import HASH, Party, enrol
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.support.stated import QUARTER_MS, Site, plan_fields

LEDGER, DEVICE, HOUR_MS, CIVIL_MIN = "demo-ledger", "station-1 turbine", 3_600_000, 480
DAY_MS = 24 * HOUR_MS
CERTIFICATE = {
    "id": DEVICE, "name": "Station", "source": "hydro", "technology": "run of river", "capacity": 10_000_000,
    "commissioned": "2020-01-01", "location": "CN-YN", "configuration": 1, "class": "tradable", "scheme": "gc",
}  # fmt: skip


@dataclass
class CertifiedSite:
    """``site`` with the statement of its first four quarters; ``issuer`` and the holders ``a`` and ``b``."""

    site: Site
    ledger: EmbeddedLedger
    issuer: Party
    a: Party
    b: Party

    def state(self, reason: str | None = None, less: Mapping[int, int] = MappingProxyType({})) -> list[int]:
        """State the first four quarters, or once more; the units of each. ``less``: by quarter how many Wh are left
        out of it, as an owner may who states what he likes."""
        site = self.site
        site.hands.journal.flush()
        history = history_of(site.hands.store)
        part = Part(history.of_plan("main")[-1], site.from_ms, site.from_ms + 4 * QUARTER_MS)
        made = make(site.hands.store, history, part, site.loaded.data / "statements", reason)
        rows = tuple(_with_less(row, less.get(n, 0)) for n, row in enumerate(made.statement.rows))
        stated = dict(made.statement.fields) | {"rows": [len(rows), Rows(made.secret, rows).root]}
        keep_rows(replace(made, statement=replace(made.statement, fields=stated, rows=rows)))
        site.event(GATEWAY, "period", **stated)
        site.hands.journal.flush()
        return [(row.amount or 0) // 1000 for row in map(parse_row, rows) if row.node == "station"]

    def issue(self, quarter: int, units: int) -> bytes:
        """A certificate of a quarter, held by a; its id."""
        from_ms = self.site.from_ms + quarter * QUARTER_MS
        deed = Issue(Origin("gw", "station", DEVICE, from_ms, from_ms + QUARTER_MS), units, "a", HASH, HASH)
        self.claim(self.issuer, deed)
        return self.issuer.cert(deed)

    def claim(self, party: Party, deed: Deed) -> None:
        """Have the ledger take a claim."""
        with closing(HttpRegistry(LEDGER, self.ledger.url)) as registry:
            registry.submit(party.sign(deed))

    def history(self) -> History:
        """What the gateway has signed."""
        return history_of(self.site.hands.store)


@contextmanager
def certified_site(folder: Path) -> Iterator[CertifiedSite]:
    """Four quarters of yesterday, and a little more; the ledger runs."""
    issuer, a, b = Party("issuer-1", "issuer", LEDGER), Party("a", "party", LEDGER), Party("b", "party", LEDGER)
    with closing(open_dir(folder / "ledger", LEDGER)) as opened:
        enrol(opened.policy, (issuer, a, b))
    with embedded_ledger(folder / "ledger", LEDGER) as ledger:
        site = Site(folder / "site", began_ms=_morning_of_yesterday_ms())
        path = site.loaded.path
        path.write_text(path.read_text().replace("http://127.0.0.1:8700", ledger.url))
        site.loaded = load_config(path)
        site.event(GATEWAY, "plan", **fields(site.from_ms))
        site.polls(90 * 5)
        try:
            yield CertifiedSite(site, ledger, issuer, a, b)
        finally:
            site.stop()


def _morning_of_yesterday_ms() -> int:
    """Ten o'clock of the plan's own zone: what begins then ends on the same civil day."""
    civil_ms = int(time.time() * 1000) + CIVIL_MIN * 60_000
    return civil_ms // DAY_MS * DAY_MS - CIVIL_MIN * 60_000 - DAY_MS + 10 * HOUR_MS


def _with_less(data: bytes, units: int) -> bytes:
    row = parse_row(data)
    return row_bytes(row._replace(amount=(row.amount or 0) - 1000 * units)) if units else data


def fields(from_ms: int) -> dict[str, Any]:
    """The plan: a station that can be certified at the ledger."""
    plan = plan_fields(from_ms)
    plan["nodes"]["station"] |= {"certificate": CERTIFICATE, "registry": LEDGER}
    return plan


def known(registries: Registries, look: Callable[[], Any]) -> Any:
    """What somebody sees when everything has been asked."""
    found = look()
    for _ in range(5):
        registries.wait(60)
        found = look()
    return found
