"""`meterseal-ledger neutrality`: yes or no, of statements recomputed or attested (B6), and who attests it (B7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ledger_client.claims.claim import Balance, parse_claim
from ledger_client.formats.statement import detach_receipts
from ledger_client.verification.trust_text import key_entry
from tests.support.certificates.town import EXCLUDED, OFFSET, Town, town
from tests.support.commands import Answer, ledger_command
from tests.support.evidence import GATEWAY, VALID_FROM, key

OTHER = "ab" * 32


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("works")) as made:
        yield made


@pytest.fixture(scope="module")
def signed(works: Town) -> tuple[Path, Path]:
    """The claim of the balance, and a verifier's verdict of it."""
    claim = works.sign(works.form())
    return claim, works.attest(claim)


def test_yes_only_with_a_verifier_of_what_the_party_chose(works: Town, signed: tuple[Path, Path]) -> None:
    """Factors of earlier years stand in the way until the balance is attested; its claim comes out of the form."""
    done = works.judge(works.form())
    first = done.out.splitlines()[0]
    assert done.code == 1
    assert first.startswith("NO: factor CN-YN-average-2023 is of an earlier year")
    assert first.endswith(", and 3 more; attested by nobody; no offsets")
    assert f"against it: unusual inputs (1), {GATEWAY}: own-profile: profile " in done.out
    assert f"against it: unusual inputs (1), {GATEWAY}: role: station takes export-main" in done.out

    claim, verdict = signed
    done = works.judge(works.signed_form(verdict, claim=claim))
    assert (done.code, done.out.splitlines()[0]) == (
        0, "YES: nothing is left (B4); attested by auditor (reasonable); no offsets",
    )  # fmt: skip
    facts = works.judge(works.signed_form(verdict, claim=claim), "--json").facts
    assert facts["attested"] == {
        "by": [{"verifier": "auditor", "level": "reasonable"}], "others": [], "needed": 1,
    }  # fmt: skip
    deed = parse_claim(detach_receipts(claim.read_bytes())[0]).claim.deed
    assert isinstance(deed, Balance)
    assert deed.exclusions == (f"{GATEWAY}/main/neighbour: the mill next door (360000.000 Wh)",)


def test_of_a_verifier_the_last_verdict_counts(works: Town, signed: tuple[Path, Path]) -> None:
    claim, verdict = signed
    adverse = works.attest(claim, "adverse")
    done = works.judge(works.signed_form(verdict, adverse, claim=claim))
    assert (done.code, "attested by nobody; auditor says adverse" in done.out) == (1, True), done


def test_an_attested_statement_needs_no_batches(works: Town, signed: tuple[Path, Path]) -> None:
    proofs = works.proofs()
    refused(works.judge(works.form(files=proofs)), "B6", "has no batches, and no verifier attests it")
    claim, verdict = signed
    of_statement = works.attest(works.site.period.hex())
    names = f'"{verdict.name}", "{of_statement.name}"'
    more = f'signed = "{claim.relative_to(works.folder)}"\nattestations = [{names}]'
    done = works.judge(works.form(files=proofs, more=more))
    assert (done.code, done.out.splitlines()[0][:3], "unusual" in done.out) == (0, "YES", False), done


Call = Callable[[Town, tuple[Path, Path]], Answer]
REFUSED: dict[str, tuple[str, str, Call]] = {
    "an attestation of another balance": (
        "B7", f"auditor attests {OTHER}, which is neither of a cited statement nor of the claim in `signed`",
        lambda works, signed: works.judge(works.signed_form(works.attest(OTHER), claim=signed[0])),
    ),
    "an attestation of a balance that is not named": (
        "B7", "which is of no cited statement",
        lambda works, signed: works.judge(works.form(more=f'attestations = ["{signed[1].name}"]')),
    ),
    "an attestation by an issuer": (
        "B7", "of auditor as verifier",
        lambda works, signed: works.judge(
            works.signed_form(signed[1], claim=signed[0]), trust=works.trust('role = "verifier"', 'role = "issuer"')
        ),
    ),
    "an attestation by a revoked key": (
        "B7", "was revoked",
        lambda works, signed: works.judge(
            works.signed_form(signed[1], claim=signed[0]),
            trust=works.trust('party = "auditor"', 'party = "auditor"\nrevoked = 2020-01-01T00:00:00Z'),
        ),
    ),
    "a claim that is no attestation": (
        "B7", "it attests nothing",
        lambda works, signed: works.judge(works.form(more=f'attestations = ["{signed[0].relative_to(works.folder)}"]')),
    ),
    "a claim of another form": (
        "B7", "boundary is the works in the claim, and the yard by its files",
        lambda works, signed: works.judge(
            works.signed_form(signed[1], claim=signed[0], changes=(('"the works"', '"the yard"'),))
        ),
    ),
    "an offset that was not signed": (
        "B7", "offsets is nothing in the claim, and serials 1 to 10 of P-1",
        lambda works, signed: works.judge(
            works.signed_form(signed[1], claim=signed[0], end=OFFSET.format(vintage=2025, document="report.pdf"))
        ),
    ),
    "the form as its own document": (
        "C4", "is the form of this balance itself",
        lambda works, _: works.judge(works.form(end=OFFSET.format(vintage=2025, document="BALANCE.toml"))),
    ),
    "a load that is left out": (
        "B6", "in none of loads, emissions and exclusions: neighbour (import, 360000.000 Wh)",
        lambda works, _: works.judge(works.form((EXCLUDED, ""))),
    ),
    "an exclusion of no node": (
        "B6", f"no cited statement has a node {GATEWAY}/main/neighbor",
        lambda works, _: works.judge(works.form((EXCLUDED, EXCLUDED + ", " + EXCLUDED.replace("bour", "bor")))),
    ),
    "an exclusion of what is named": (
        "B6", "is named among the loads or emissions, too",
        lambda works, _: works.judge(works.form((EXCLUDED, EXCLUDED + ", " + EXCLUDED.replace("neighbour", "grid")))),
    ),
    "an exclusion of a station": (
        "B6", "is no load and no source of emissions: its role is production",
        lambda works, _: works.judge(works.form((EXCLUDED, EXCLUDED.replace("neighbour", "station")))),
    ),
}  # fmt: skip


def refused(done: Answer, rule: str, problem: str) -> None:
    """With rule and way out."""
    assert (done.code, problem in done.err, f"({rule})" in done.err) == (1, True, True), done
    assert "fix: " in done.err


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(works: Town, signed: tuple[Path, Path], name: str) -> None:
    rule, problem, call = REFUSED[name]
    refused(call(works, signed), rule, problem)


def test_a_document_of_another_hash(works: Town) -> None:
    """The paper of an offset was exchanged since the balance was signed."""
    document, offset = works.folder / "retired.txt", OFFSET.format(vintage=2025, document="retired.txt")
    document.write_text("ten serials")
    hashes = [sha256(document.read_bytes()).hexdigest()]
    claim = works.sign(works.form(end=offset))
    verdict = works.attest(claim)
    form = works.signed_form(verdict, claim=claim, end=offset)
    done = works.judge(form)
    assert (done.code, done.out.splitlines()[0]) == (
        0, "YES: nothing is left (B4); attested by auditor (reasonable); "
        "offsets of 10.000 kg are not verified: their registries are not asked",
    ), done  # fmt: skip
    document.write_text("ten thousand serials")
    hashes.append(sha256(document.read_bytes()).hexdigest())
    by = [f"serials 1 to 10 of P-1, 2025, at their-registry, by the document {one}" for one in hashes]
    problem = f"offsets is {by[0]} in the claim, and {by[1]} by its files"
    refused(works.judge(form), "B7", problem)
    done = ledger_command("balance", works.form(end=offset), "--trust", works.market.trust, "--check", claim)
    refused(done, "B4", problem)


def test_a_statement_that_its_batches_do_not_give(works: Town) -> None:
    """Restated with findings that nothing gives: what is signed and under its root is still recomputed."""
    done = works.restated(findings={"entry": 9})
    refused(done, "B6", "is NOT EQUAL to what its batches give: findings: stated {entry: 9}, recomputed {}")


def test_gateways_that_nobody_cites_are_named(works: Town) -> None:
    """A site that the form leaves out is seen by whoever has its gateway in the trust file."""
    entry = key_entry("statement", key("kiln").public, VALID_FROM, gateway="kiln-gateway")
    done = works.judge(works.form(), trust=works.trust("[policy]", f"{entry}\n[policy]"))
    assert "1 gateways of the trust file are not in this balance: kiln-gateway (B6)" in done.out, done
