"""`meterseal-ledger balance` and `neutrality` over real files: a statement, a certificate file, documents, a claim."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.claims.claim import Balance, Issue, Retire, parse_claim
from ledger_client.cli.app import cli
from ledger_client.errors import LedgerClientError
from ledger_client.formats.statement import attach_receipts
from ledger_client.verification.trust_text import key_entry
from tests.support.accounted import POINT, QUARTER_MS
from tests.support.certificates.mcert import ISSUER, OWNER, ROLES, WORKS, Certified, cert_of, certified_plan
from tests.support.evidence import GATEWAY, NOW, VALID_FROM, key, trust_text

HOUR_MS = 4 * QUARTER_MS
FORM = """
party = "works"
period = "{period}"
civil = "+08:00"
zone = "CN-YN"
boundary = "the works"
exclusions = []
partial = true

[factors]
average = "CN-YN-average"
residual = "CN-residual"

[[site]]
files = ["*.mbatch"]
rows = ["*.mrows"]
loads = ["grid"]

[[certificates]]
files = ["*.mcert"]
"""
OFFSET = """
[[offset]]
registry = "their-registry"
project = "P-1"
vintage = 2025
first = 1
last = 1000
each_kg = 1
document = "retired.txt"
"""


def plan(from_ms: int) -> dict[str, Any]:
    """The station of the certificates, and the load of the works, by one register."""
    fields = certified_plan(from_ms)
    fields["nodes"]["grid"] = {"role": "import", "terms": [[1, POINT]], "profile": "own-test", "zone": "CN-YN"}
    return fields


@dataclass
class Files:
    """A folder with everything that a balance of two hours names; ``load``: Wh of each quarter."""

    folder: Path
    made: Certified
    load: list[int]

    def run(self, *words: object, form: str | None = None, command: str = "balance", **more: str) -> Result:
        """The command over the folder's form, or another one."""
        path = self.folder / "BALANCE.toml"
        path.write_text(form if form is not None else self.form())
        return CliRunner().invoke(
            cli, [command, str(path), "--trust", str(self.folder / "trust.toml"), *map(str, words)]
        )

    def form(self) -> str:
        begin = self.made.row(0).from_ms // HOUR_MS * HOUR_MS
        return FORM.replace("{period}", f"{utc_text(begin)}/{utc_text(begin + 2 * HOUR_MS)}")

    def written(self, claims: Mapping[str, Any]) -> Path:
        path = self.folder / "balance.claim"
        given = self.made.registry.claim(WORKS, claims["deed"])
        path.write_bytes(attach_receipts(given.entry, given.receipts))
        return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("balance")
    made = Certified.made(folder, plan)
    parties = "".join(key_entry(role, key(name).public, VALID_FROM, party=name) for name, role in ROLES.items())
    (folder / "trust.toml").write_text(trust_text(extra=parties))
    (folder / "retired.txt").write_text("their registry's retirement")
    for place in (4, 5):  # two quarters of the station; the rows of grid come first
        issue = made.registry.claim(ISSUER, made.issue(place, WORKS))
        (folder / f"{place}.mcert").write_bytes(made.file(issue, retired(made, place, issue), place=place).encode())
    return Files(folder, made, [made.row(place).amount or 0 for place in range(4)])


def retired(made: Certified, place: int, issue: Any) -> Any:
    """All units of a certificate but the last, retired by the works for the day."""
    row, deed = made.row(place), parse_claim(issue.entry).claim.deed
    assert isinstance(deed, Issue)
    day = row.from_ms - 24 * HOUR_MS, row.from_ms + 24 * HOUR_MS
    return made.registry.claim(WORKS, Retire(cert_of(issue), (0, deed.units - 1), "balance", *day))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def test_a_balance_of_real_files(files: Files, tmp_path: Path) -> None:
    done = files.run("-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    balance = json.loads(done.stdout)
    covered = sum(files.load[:2]) - 2 * 1000  # a Wh of each was not retired
    assert balance["totals"]["load_wh"] == f"{sum(files.load) / 1000:.3f}"
    assert balance["totals"]["covered_wh"] == f"{covered / 1000:.3f}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"balance.json", "hours.csv", "balance.html"}
    assert json.loads((tmp_path / "out" / "balance.json").read_text())["totals"] == balance["totals"]
    assert "provisional-factor" in {one["code"] for one in balance["findings"]}
    again = files.run("-o", tmp_path / "out", "--lang", "zh")
    assert again.exit_code == 0, again.output
    assert "matched by" in again.stdout
    assert 'lang="zh' in (tmp_path / "out" / "balance.html").read_text()[:200]


def test_what_is_no_balance_is_not_replaced(files: Files, tmp_path: Path) -> None:
    (tmp_path / "balance.html").write_text("<!doctype html>\n<title>a letter</title>")
    done = files.run("-o", tmp_path)
    assert isinstance(done.exception, LedgerClientError)
    assert "--force" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["balance.html"]
    assert files.run("-o", tmp_path, "--force").exit_code == 0


def test_neutrality_says_no_while_something_is_open(files: Files) -> None:
    done = files.run(command="neutrality", form=files.form() + OFFSET)
    assert done.exit_code == 1
    assert "neutralised: no (B4)" in done.stdout
    assert "against it: factor CN-YN-average-2023 is of an earlier year" in done.stdout
    fixed = (files.form() + OFFSET).replace(
        "[factors]", '[factors]\naverage_id = "CN-YN-average-2023"\nresidual_id = "CN-residual-2023"'
    )
    done = files.run(command="neutrality", form=fixed)
    against = [line for line in done.stdout.splitlines() if "against it" in line and "unusual inputs" not in line]
    assert against == [
        f"  against it: 2 parts of the period are in no statement of {GATEWAY}: main (T2)",
        "  against it: factor CN-YN-average-2023 is named by its id, in place of the year's (B7)",
        "  against it: factor CN-residual-2023 is named by its id, in place of the year's (B7)",
    ]


def test_a_signed_balance_is_compared_with_what_its_files_give(files: Files) -> None:
    from ledger_client.accounting import factors
    from ledger_client.balance.citing import claim_of
    from ledger_client.balance.form import parse_form
    from ledger_client.balance.gathering import gathered
    from ledger_client.balance.reckoning import balance
    from ledger_client.verification.trust_file import load_trust

    trust = load_trust(files.folder / "trust.toml")
    found = gathered(parse_form(files.form().encode(), factors.load()), files.folder, trust, NOW)
    deed = claim_of(balance(found.terms, found.sources, found.slices, found.offsets))
    claim = files.written({"deed": deed})
    done = files.run("--check", claim)
    assert done.exit_code == 0, done.output
    assert isinstance(deed, Balance)

    other = files.run("--check", claim, form=files.form().replace('"the works"', '"the works and the mill"'))
    assert other.exit_code == 1
    assert "boundary is the works in the claim, and the works and the mill by its files" in other.stderr
    claim.write_bytes(claim.read_bytes()[:-1] + b"\x00")
    broken = files.run("--check", claim)
    assert broken.exit_code == 1
    assert "NOT VERIFIED" in broken.stderr


@pytest.mark.parametrize(
    ("old", "new", "code", "rule"),
    [
        ('zone = "CN-YN"', 'zone = "CN-GD"', 1, "F2"),
        ('residual = "CN-residual"', 'residual = "CN-average"', 1, "F3"),
        ('party = "works"', 'party = "mill"', 1, "B1"),
        ("partial = true", "", 1, "T2"),
        ('files = ["*.mcert"]', 'files = ["*.mcert", "4.mcert"]', 1, "B1"),
        ('files = ["*.mcert"]', 'files = ["none*.mcert"]', 1, "B4"),
        ('loads = ["grid"]', 'loads = ["station"]', 1, "B1"),
        ('period = "', 'period = "x', 2, "N6"),
    ],
)
def test_what_does_not_belong_is_refused(files: Files, old: str, new: str, code: int, rule: str) -> None:
    form = files.form()
    assert old in form
    done = files.run(form=form.replace(old, new))
    problem = done.stderr or str(done.exception)
    assert (2 if isinstance(done.exception, LedgerClientError) else done.exit_code) == code
    assert f"({rule})" in problem
    assert "fix: " in problem


def test_a_certificate_that_is_not_verified_or_not_retired_is_refused(files: Files, tmp_path: Path) -> None:
    made = files.made
    issue = made.registry.claim(ISSUER, made.issue(6, OWNER))
    path = files.folder / "held.other"
    path.write_bytes(made.file(issue, place=6).encode())
    done = files.run(form=files.form().replace('"*.mcert"', '"held.other"'))
    assert (done.exit_code, "its units are held" in done.stderr) == (1, True), done.output
    path.write_bytes(path.read_bytes()[:-9])
    done = files.run(form=files.form().replace('"*.mcert"', '"held.other"'))
    assert (done.exit_code, "it is not verified: step 1" in done.stderr) == (1, True), done.output
