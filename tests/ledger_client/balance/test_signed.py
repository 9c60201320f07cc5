"""A balance from the issue of its certificates to its claim at a registry that runs, and what the registry refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.claims.claim import HOUR_MS, Balance, parse_claim
from ledger_client.formats.statement import detach_receipts
from tests.support.accounted import POINT
from tests.support.certificates.market import Market, market
from tests.support.commands import Answer, ledger_command

GRID = {"role": "import", "terms": [[1, POINT]], "profile": "own-test", "zone": "CN-YN"}
OFFSET = """
[[offset]]
registry = "their-registry"
project = "P-1"
vintage = 2025
first = {first}
last = {last}
each_kg = 1
document = "retired.txt"
"""


@dataclass
class Town:
    """A station that the works also takes its load from, its certificates retired and proven in files."""

    market: Market
    folder: Path
    form: str

    def balance(self, *words: object, party: str = "works", offsets: tuple[int, int] | None = None) -> Answer:
        path = self.folder / f"{party}.toml"
        text = self.form.replace("PARTY", party) if party == "works" else self.form.partition("[[certificates]]")[0]
        more = "" if offsets is None else OFFSET.format(first=offsets[0], last=offsets[1])
        path.write_text(text.replace("PARTY", party) + more)
        return ledger_command("balance", path, "--trust", self.market.trust, "--json", *words)

    def sign(self, party: str = "works", offsets: tuple[int, int] | None = None) -> Answer:
        options = [
            "--sign",
            "--key",
            self.market.folder / party,
            *self.market.there,
            "-o",
            self.folder / f"out-{party}",
        ]
        return self.balance(*options, party=party, offsets=offsets)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with market(tmp_path_factory.mktemp("town")) as made:
        site = made.station()
        begin_ms = site.hour(site.node, nodes={"station": site.node, "grid": GRID})
        issued = made.issue(site)
        assert issued.code == 0, issued
        folder = made.folder / "balance"
        folder.mkdir()
        (folder / "retired.txt").write_text("their registry's retirement")
        hour_ms = begin_ms // HOUR_MS * HOUR_MS
        period = f"{utc_text(hour_ms)}/{utc_text(hour_ms + 2 * HOUR_MS)}"
        for n, hour in enumerate(issued.facts["hours"]):
            cert = hour["certificate"]
            use = ["--purpose", "balance", "--period", period]
            assert made.run("retire", f"{cert}:0-{80_000 + n}", *use, by="works").code == 0
            proof = ["--rows", site.rows_file, *made.there, "-o", folder / f"{n}.mcert"]
            done = ledger_command("certificate", "prove", f"{cert}:0-{80_000 + n}", *site.files, *proof)
            assert done.code == 0, done
        files = ", ".join(f'"{path}"' for path in site.files)
        form = f"""
party = "PARTY"
period = "{period}"
civil = "+00:00"
zone = "CN-YN"
boundary = "the works"
exclusions = []
partial = true
[factors]
average = "CN-YN-average"
residual = "CN-residual"
[[site]]
files = [{files}]
rows = ["{site.rows_file}"]
loads = ["grid"]
[[certificates]]
files = ["*.mcert"]
"""
        yield Town(made, folder, form)


def test_a_signed_balance_stands_at_the_registry_and_is_recomputed(town: Town) -> None:
    done = town.sign(offsets=(1, 40))
    assert done.code == 0, done
    assert done.facts["totals"]["load_wh"] == "360000.000"
    assert done.facts["totals"]["covered_wh"] == f"{4 * 80_000 + 0 + 1 + 2 + 3}.000"
    claim = town.folder / "out-works" / "balance.claim"
    entry, receipts = detach_receipts(claim.read_bytes())
    signed = parse_claim(entry)
    assert isinstance(signed.claim.deed, Balance)
    assert signed.claim.deed.slices[0] == 4
    assert len(receipts) == 1
    again = town.balance("--check", claim, offsets=(1, 40))
    assert again.code == 0, again
    other = town.balance("--check", claim, offsets=(1, 41))
    assert other.code == 1
    assert any(line.startswith("offsets is") for line in other.facts["differences"])


def test_a_verifier_attests_a_signed_balance_by_its_claim(town: Town, tmp_path: Path) -> None:
    assert town.sign(offsets=(1, 40)).code == 0
    claim = town.folder / "out-works" / "balance.claim"
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF")
    words = ["--level", "reasonable", "--verdict", "unmodified", "--report", report]
    done = town.market.run("attest", claim, *words, by="auditor")
    assert done.code == 0, done
    signed = parse_claim(detach_receipts(claim.read_bytes())[0])
    assert done.facts["balance"] == signed.id.hex()

    other = next((town.market.folder / "works" / "claims").rglob("0.claim"))
    done = town.market.run("attest", other, *words, by="auditor")
    assert (done.code, "is a claim of another kind" in done.err) == (2, True), done
    changed = tmp_path / "changed.claim"
    changed.write_bytes(claim.read_bytes().replace(b"the works", b"the world"))
    done = town.market.run("attest", changed, *words, by="auditor")
    assert (done.code, "NOT PROVEN" in done.err) == (1, True), done


def test_a_serial_of_another_balance_is_refused_by_the_registry(town: Town) -> None:
    """C4, R2: each of two parties' files is good by itself."""
    assert town.sign(offsets=(1, 40)).code == 0
    done = town.sign("mill", offsets=(40, 50))
    assert done.code == 1
    assert "serial 40 of P-1 stands in a balance of works" in done.err
    assert not (town.folder / "out-mill" / "balance.claim").exists()
    assert town.sign("mill", offsets=(41, 50)).code == 0


def test_a_folder_of_another_party_signs_nothing(town: Town) -> None:
    key = ["--key", town.market.folder / "mill", *town.market.there, "-o", town.folder / "out"]
    done = town.balance("--sign", *key)
    assert done.code == 2
    assert "is of mill, and the balance is of works" in done.err


@pytest.mark.parametrize("words", [["--sign"], ["--key", "somewhere"], ["--sign", "--check", "x", "--key", "y"]])
def test_options_that_do_not_fit_are_named(town: Town, words: list[str]) -> None:
    done = town.balance(*words)
    assert done.code == 2
    assert "fix: " in done.err
