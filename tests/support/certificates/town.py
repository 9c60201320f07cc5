"""A works whose balance leaves nothing: an hour of its load, certified and retired; and verifiers who may attest it.

Its factors are those that were published last, so that a verifier has to attest the balance (B7). A neighbour's load
stands in the same statement, and is excluded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.claims.claim import HOUR_MS
from tests.support.accounted import POINT, plan_fields
from tests.support.certificates.market import BACK_S, Market, Station, market
from tests.support.certificates.mcert import proofs_of
from tests.support.commands import Answer, ledger_command
from tests.support.evidence import GATEWAY, METER

SECOND = f"{METER}/second"
GRID = {"role": "import", "terms": [[1, POINT]], "profile": "own-test", "zone": "CN-YN"}
NEIGHBOUR = {"role": "import", "terms": [[1, SECOND]], "profile": "own-test", "zone": "CN-YN"}
EXCLUDED = f'{{ of = "{GATEWAY}/main/neighbour", reason = "the mill next door" }}'
OFFSET = """
[[offset]]
registry = "their-registry"
project = "P-1"
vintage = {vintage}
first = 1
last = 10
each_kg = 1
document = "{document}"
"""
FORM = """
party = "works"
period = "{period}"
civil = "+00:00"
zone = "CN-YN"
boundary = "the works"
exclusions = [{excluded}]
{more}
[factors]
average = "CN-YN-average"
residual = "CN-residual"
[[site]]
files = [{files}]
rows = ["{rows}"]
loads = ["grid"]
[[certificates]]
files = ["*.mcert"]
"""
Change = tuple[str, str]


@dataclass
class Town:
    """``folder``: of the form. A form is changed by text in place of other text."""

    market: Market
    folder: Path
    site: Station
    period: str
    attested: int = field(default=0)
    signed: int = field(default=0)

    def form(self, *changes: Change, more: str = "", end: str = "", files: list[Path] | None = None) -> Path:
        """Write it."""
        named = ", ".join(f'"{path}"' for path in files or self.site.files)
        text = FORM.format(period=self.period, excluded=EXCLUDED, more=more, files=named, rows=self.site.rows_file)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "BALANCE.toml"
        path.write_text(text + end)
        return path

    def judge(self, form: Path, *words: object, trust: Path | None = None) -> Answer:
        """``neutrality`` of a form."""
        return ledger_command("neutrality", form, "--trust", trust or self.market.trust, *words)

    def sign(self, form: Path) -> Path:
        """The claim of its balance, at the registry."""
        self.signed += 1
        out = self.folder / f"out-{self.signed}"
        options = ["--sign", "--key", self.market.folder / "works", *self.market.there, "-o", out]
        done = ledger_command("balance", form, "--trust", self.market.trust, *options)
        assert done.code == 0, done
        return out / "balance.claim"

    def attest(self, subject: object, verdict: str = "unmodified", by: str = "auditor") -> Path:
        """A verifier's claim, as the one file that matches ``attest-N*.claim``."""
        report = self.folder / "report.pdf"
        report.write_bytes(b"%PDF")
        words = ["--level", "reasonable", "--verdict", verdict, "--report", report]
        done = self.market.run("attest", subject, *words, by=by)
        assert done.code == 0, done
        (claim,) = done.facts["claims"]
        kept = self.market.folder / by / "claims"
        self.attested += 1
        path = self.folder / f"attest-{self.attested}.claim"
        path.write_bytes(next(kept.rglob(f"{claim['number']}.claim")).read_bytes())
        return path

    def signed_form(self, *names: Path, claim: Path, end: str = "", changes: tuple[Change, ...] = ()) -> Path:
        """A form that names its claim and these attestations."""
        listed = ", ".join(f'"{path.name}"' for path in names)
        more = f'signed = "{claim.relative_to(self.folder)}"\nattestations = [{listed}]'
        return self.form(*changes, more=more, end=end)

    def proofs(self) -> list[Path]:
        """The statement and its plan as proofs, without their batches."""
        found = dict(proofs_of(self.site.files, {self.site.plan, self.site.period}))
        paths = [self.folder / f"{number}.mseal" for number in range(len(found))]
        for path, data in zip(paths, found.values(), strict=True):
            path.write_bytes(data)
        return paths

    def restated(self, **lie: Any) -> Answer:
        """``neutrality`` of a second version of the statement, which says otherwise than its batches."""
        site = self.site
        files, rows, period = list(site.files), site.rows_file, site.period
        site.lie = lie
        try:
            site.stated(site.hour_ms, 4, (0, 1), version=2, supersedes=period, reason="corrected")
            return self.judge(self.form())
        finally:
            site.lie = {}
            site.files[:], site.rows_file, site.period = files, rows, period

    def trust(self, old: str, new: str) -> Path:
        """The trust file with other words."""
        text, path = self.market.trust.read_text(), self.folder / "other-trust.toml"
        assert old in text
        path.write_text(text.replace(old, new))
        return path


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """An hour of the works, with its registry."""
    with market(folder) as made:
        begin_ms = (int(time.time()) - BACK_S) // 3600 * HOUR_MS
        site = made.station(began_ms=begin_ms - 1)
        site.beside = ("second",)
        counter = plan_fields(begin_ms)["points"][POINT]
        nodes = {"station": site.node, "grid": GRID, "neighbour": NEIGHBOUR}
        assert site.hour(site.node, nodes=nodes, points={POINT: counter, SECOND: counter}) == begin_ms
        issued = made.issue(site)
        assert issued.code == 0, issued
        of = made.folder / "balance"
        of.mkdir()
        period = f"{utc_text(begin_ms)}/{utc_text(begin_ms + HOUR_MS)}"
        certs = [hour["certificate"] for hour in issued.facts["hours"]]
        done = made.run("retire", *certs, "--purpose", "balance", "--period", period, by="works")
        assert done.code == 0, done
        for number, cert in enumerate(certs):
            proof = ["--rows", site.rows_file, *made.there, "-o", of / f"{number}.mcert"]
            done = ledger_command("certificate", "prove", cert, *site.files, *proof)
            assert done.code == 0, done
        yield Town(made, of, site, period)
