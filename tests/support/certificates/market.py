"""A registry that runs, an issuer, two holders and a verifier that are enrolled there; and stations whose hours are
certified by them. Their times are of today: commands ask the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger_client.claims.claim import HOUR_MS
from tests.support import evidence
from tests.support.certificates.certified import CERTIFICATE, REGISTRY, Certified, station
from tests.support.commands import Answer, ledger_command
from tests.support.processes import EmbeddedLedger, embedded_ledger

PARTIES = {"issuer-1": "issuer", "issuer-2": "issuer", "works": "party", "mill": "party", "auditor": "verifier"}
BACK_S = 5 * 3600
"""How long ago the stations begin: an hour of theirs is over."""


@dataclass
class Market:
    """``trust``: a file that believes the gateway, its ledger and the registry."""

    folder: Path
    ledger: EmbeddedLedger
    trust: Path
    stations: int = field(default=0)

    def at(self, party: str) -> list[str]:
        """Options of a command by this party."""
        return ["--key", str(self.folder / party), *self.there, "--trust", str(self.trust)]

    @property
    def there(self) -> list[str]:
        """The registry."""
        return ["--registry", f"{REGISTRY}={self.ledger.url}"]

    def run(self, name: str, *words: object, by: str) -> Answer:
        """``certificate NAME … --json`` by a party."""
        return ledger_command("certificate", name, *words, *self.at(by), "--json")

    def station(self, began_ms: int | None = None, **certificate: Any) -> Station:
        """Another station, of a device of its own."""
        self.stations += 1
        folder = self.folder / f"station-{self.stations}"
        folder.mkdir()
        site = Station(folder, int(time.time() - BACK_S) * 1000 if began_ms is None else began_ms)
        site.device = f"device-{self.stations}"
        site.node = station(certificate=CERTIFICATE | {"id": site.device} | certificate)
        return site

    def twins(self) -> tuple[Station, Station]:
        """Two plans of one device and hour, stated by quarters and as a whole; the second names its node otherwise."""
        begin_ms = (int(time.time()) - BACK_S) // 3600 * HOUR_MS - 1
        by_quarters, whole = self.station(began_ms=begin_ms), self.station(began_ms=begin_ms)
        whole.device, whole.node, whole.node_name = by_quarters.device, by_quarters.node, "wheel"
        by_quarters.hour(by_quarters.node)
        whole.hour(None, plan="other", interval=3600, nodes={"wheel": whole.node})
        return by_quarters, whole

    def issue(self, site: Station, *words: object, by: str = "issuer-1", holder: str = "works") -> Answer:
        """``certificate issue`` of a station's statement."""
        options = ["--node", site.node_name, "--holder", holder]
        return self.run("issue", site.rows_file, *site.files, *options, *words, by=by)

    def certified(self, site: Station | None = None) -> list[str]:
        """Four certificates of 90,000 Wh each that the party `works` holds."""
        site = site or self.station()
        site.hour(site.node)
        done = self.issue(site)
        assert done.code == 0, done
        return [hour["certificate"] for hour in done.facts["hours"]]

    def slices(self, cert: str) -> list[tuple[int, int, str, str]]:
        """What the registry shows of a certificate."""
        facts = ledger_command("certificate", "show", cert, *self.there, "--json").facts
        return [(one["from"], one["to"], one["status"], one["holder"]) for one in facts["slices"]]


class Station(Certified):
    """``node``: of its plan, and its name; ``device``: its id."""

    node: dict[str, Any]
    device: str
    node_name: str = "station"


def trust_text(*more: str, max_delay: str = "6h") -> str:
    """A trust file that believes the gateway and its ledger."""
    site = evidence.trust_text(policy=f'max_delay = "{max_delay}"\n', valid_from=0)
    return "\n".join([site, *more])


@contextmanager
def market(folder: Path) -> Iterator[Market]:
    """A running registry with its parties."""
    with embedded_ledger(folder / "ledger", REGISTRY) as ledger:
        for name, role in PARTIES.items():
            done = ledger_command("party", "new", name, "--role", role, "-o", folder / name)
            assert done.code == 0, done
            done = ledger_command("enroll", ledger.folder, folder / name / f"{name}.enrol", "--yes")
            assert done.code == 0, done
        trust = folder / "trust.toml"
        entries = [ledger_command("party", "show", folder / name).out for name in PARTIES]
        trust.write_text(trust_text(ledger_command("show", ledger.folder, "--trust").out, *entries))
        yield Market(folder, ledger, trust)
