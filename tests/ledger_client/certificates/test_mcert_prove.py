"""Whoever holds units writes their file: out of batches and rows, or out of the file that came with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Rows
from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.certificates.mcert.prove import Evidence, prove
from ledger_client.certificates.mcert.verify import verify_certificate
from ledger_client.claims.attestation import UNMODIFIED
from ledger_client.claims.claim import Attest, Part, Retire, Transfer
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.errors import FileError
from ledger_client.formats.statement import attach_receipts
from tests.support.certificates.mcert import AUDITOR, ISSUER, OWNER, WORKS, Certified, cert_of, trust_of
from tests.support.evidence import NOW


class Market:
    """A certificate that was passed on in two parts and retired across both; its files in a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "station").mkdir()
        self.folder, self.station = folder, Certified.made(folder / "station", quarters=2)
        registry = self.station.registry
        self.issue = registry.claim(ISSUER, self.station.issue())
        self.cert = cert_of(self.issue)
        registry.claim(ISSUER, self.station.issue(1))  # another certificate
        self.first = registry.claim(OWNER, Transfer(self.cert, (0, 40), WORKS))
        self.second = registry.claim(OWNER, Transfer(self.cert, (40, 90), WORKS))
        self.third = registry.claim(OWNER, Transfer(self.cert, (500, 600), WORKS))
        self.use = registry.claim(WORKS, Retire(self.cert, (30, 60), "RE100", 0, 1000))
        self.claims = [self.use, self.third, self.second, self.first, self.issue]
        self.rows = folder / "station.mrows"
        self.rows.write_bytes(self.station.rows.encode())

    def write(self, *claims: GivenClaim) -> list[Path]:
        """Claims as they lie in a party's folder."""
        paths = [self.folder / f"{number}.claim" for number in range(len(claims))]
        for path, claim in zip(paths, claims, strict=True):
            path.write_bytes(attach_receipts(claim.entry, claim.receipts))
        return paths

    def evidence(self, *claims: GivenClaim) -> Evidence:
        return Evidence.read([*self.station.site.files, *self.write(*claims)], [self.rows])

    def proven(self, part: Part | None) -> CertificateFile:
        return prove(self.evidence(*self.claims), self.cert, part)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(tmp_path_factory.mktemp("market"))


@pytest.mark.parametrize(
    ("part", "members"),
    [
        ((35, 50), ("issue", "first", "second", "use")),
        ((30, 60), ("issue", "first", "second", "use")),
        ((0, 30), ("issue", "first")),
        ((60, 90), ("issue", "second")),
        ((550, 551), ("issue", "third")),
        ((90, 500), ("issue",)),
    ],
)
def test_a_file_has_the_claims_that_lead_to_its_units(market: Market, part: Part, members: tuple[str, ...]) -> None:
    file = market.proven(part)
    assert file.claims == tuple(getattr(market, name) for name in members)
    traced = verify_certificate(file.encode(), trust_of(), NOW).traced
    assert traced.part[0] <= part[0] < part[1] <= traced.part[1]


@pytest.mark.parametrize("part", [(0, 35), (80, 100), None])
def test_units_of_several_histories_are_proven_one_by_one(market: Market, part: Part | None) -> None:
    with pytest.raises(AccountingError, match="more than one history") as refused:
        market.proven(part)
    assert "0-40, 40-90, 500-600, 30-60" in refused.value.way_out


def test_whoever_has_an_older_file_adds_the_claims_since(market: Market) -> None:
    old = market.folder / "old.mcert"
    old.write_bytes(prove(market.evidence(market.issue, market.first, market.second), market.cert, (0, 40)).encode())
    seen = market.station.registry.claim(AUDITOR, Attest(market.station.period, "limited", UNMODIFIED, bytes(32)))
    of_another = market.station.registry.claim(AUDITOR, Attest(bytes(32), "limited", UNMODIFIED, bytes(32)))
    new = [old, *market.write(market.second, market.use, seen, of_another)]
    file = prove(Evidence.read(new), market.cert, (30, 60))
    assert file == replace(market.proven((30, 60)), claims=(*market.proven((30, 60)).claims, seen))
    proven = verify_certificate(file.encode(), trust_of(), NOW)
    assert (proven.traced.status, proven.attested) == ("retired", ((AUDITOR, "limited"),))


def test_a_claim_that_is_given_twice_has_all_its_receipts(market: Market) -> None:
    evidence = market.evidence(GivenClaim(market.issue.entry), market.issue)
    assert prove(evidence, market.cert, None).claims == (market.issue,)


def test_what_is_missing_is_named(market: Market, tmp_path: Path) -> None:
    def missing(evidence: Evidence, problem: str, cert: bytes = market.cert) -> None:
        with pytest.raises(AccountingError, match=problem) as refused:
            prove(evidence, cert, None)
        assert refused.value.way_out

    files, claims = market.station.site.files, market.write(market.issue)
    missing(Evidence.read(files, [market.rows]), "no claim that is given issues")
    missing(market.evidence(market.issue), "no claim that is given issues", bytes(32))
    missing(Evidence.read([*files, *claims]), "no file has the row")
    other = tmp_path / "other.mrows"
    other.write_bytes(Rows(bytes(32), market.station.rows.rows).encode())
    missing(Evidence.read([*files, *claims], [other]), "no file has the row")
    missing(Evidence.read(claims, [market.rows]), "no file holds record")
    missing(Evidence.read([files[1], *claims], [market.rows]), "no file holds record")


def test_files_that_are_none_of_these_are_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    with pytest.raises(FileError, match="none of a certificate's files"):
        Evidence.read([junk])
    with pytest.raises(FileError, match="no rows file"):
        Evidence.read([], [junk])
    with pytest.raises(FileError, match="No such file"):
        Evidence.read([tmp_path / "none"])
    with pytest.raises(FileError, match="Is a directory"):
        Evidence.read([tmp_path])
