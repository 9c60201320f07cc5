"""Nine steps from a slice back to two registers: what holds, and what is refused at which step under which rule."""

from __future__ import annotations

# not quick: every member changed, 2 s of CPU
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.certificates.mcert.steps import CERTIFICATE_STEPS, CertificateError
from ledger_client.certificates.mcert.verify import Proven, verify_certificate
from ledger_client.claims.attestation import UNMODIFIED
from ledger_client.claims.claim import Attest, Deed, Export, Retire, Transfer, Withdraw, parse_claim
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.formats import cbor, cose
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import key_entry
from tests.support.accounted import POINT, QUARTER_MS
from tests.support.certificates.mcert import (
    AUDITOR,
    CERTIFICATE,
    CLAIMED_S,
    ISSUER,
    MILL,
    MINT,
    OWNER,
    WORKS,
    Certified,
    Registry,
    cert_of,
    certified_plan,
    trust_of,
)
from tests.support.evidence import GATEWAY, LEDGER, METER, NOW, VALID_FROM, key, moment

STRIDE = 41
"""Every so manieth byte of a file is changed; with each other one it would take a minute."""
MEMBER_STEPS = {"row": {1, 4, 5}, "plan": {1, 7}, "edge": {1, 8}, "period": {1, 5, 6}, "claim": {1, 2}}


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified.made(tmp_path_factory.mktemp("station"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The same hours of the same gateway, under another plan, with another register."""
    folder = tmp_path_factory.mktemp("other")
    return Certified.made(folder, lambda from_ms: certified_plan(from_ms, zone="CN-GD"), register=5000)


@pytest.fixture
def registry(station: Certified) -> Registry:
    station.registry = Registry()
    return station.registry


def verified(file: CertificateFile, trust: Trust | None = None) -> Proven:
    return verify_certificate(file.encode(), trust or trust_of(), NOW)


def refused(step: int, rule: str, file: CertificateFile, trust: Trust | None = None) -> str:
    with pytest.raises(CertificateError) as caught:
        verified(file, trust)
    error = caught.value
    assert (error.step, error.rule) == (step, rule), error
    assert str(error) == f"step {step} ({CERTIFICATE_STEPS[step]}): {error.detail}"
    assert error.way_out
    return error.detail


def used(station: Certified, registry: Registry) -> CertificateFile:
    """Issued, passed on in part, and retired in part."""
    issue = registry.claim(ISSUER, station.issue())
    cert = cert_of(issue)
    move = registry.claim(OWNER, Transfer(cert, (0, 100), WORKS))
    return station.file(issue, move, registry.claim(WORKS, Retire(cert, (10, 50), "RE100", 0, 1000)))


def test_a_retired_slice_leads_back_to_two_registers(station: Certified, registry: Registry) -> None:
    proven = verified(used(station, registry))
    assert (proven.traced.part, proven.traced.status, proven.traced.holder) == ((10, 50), "retired", WORKS)
    (edge,) = proven.edges
    assert proven.row.amount == edge.end - edge.start == 90_000_000
    assert proven.device["id"] == proven.traced.issue.origin.device
    assert (proven.issued_s, proven.time_s) == (registry_time(1), registry_time(3))
    assert proven.unconfirmed == ()


def registry_time(entry: int) -> int:
    return CLAIMED_S + 60 * entry


@pytest.mark.parametrize(
    ("deeds", "part", "status", "holder"),
    [
        ([], (0, 90_000), "held", OWNER),
        ([(OWNER, lambda c: Transfer(c, (5, 7), MILL))], (5, 7), "held", MILL),
        ([(OWNER, lambda c: Export(c, (0, 9), "I-REC", "ref"))], (0, 9), "exported", OWNER),
        ([(ISSUER, lambda c: Withdraw(c, "restated"))], (0, 90_000), "withdrawn", OWNER),
    ],
)
def test_each_status_is_told(
    station: Certified, registry: Registry, deeds: list[tuple[str, Callable[[bytes], Deed]]],
    part: tuple[int, int], status: str, holder: str,
) -> None:  # fmt: skip
    issue = registry.claim(ISSUER, station.issue())
    moves = [registry.claim(party, deed(cert_of(issue))) for party, deed in deeds]
    proven = verified(station.file(issue, *moves))
    assert (proven.traced.part, proven.traced.status, proven.traced.holder) == (part, status, holder)


def test_every_member_changed_is_refused_at_its_step(station: Certified, registry: Registry) -> None:
    file = used(station, registry)
    data = file.encode()
    members = [("plan", file.plan), ("period", file.period), *(("edge", edge) for edge in file.edges)]
    members += [("claim", cose.Sign1.parse(claim.entry).signature) for claim in file.claims]
    spans = [(data.index(member), data.index(member) + len(member), name) for name, member in members]
    for place in range(0, len(data), STRIDE):
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises(CertificateError) as caught:
            verify_certificate(changed, trust_of(), NOW)
        inside = next((name for begin, end, name in spans if begin <= place < end), None)
        if inside is not None:
            assert caught.value.step in MEMBER_STEPS[inside], (place, inside, caught.value)
    begin = data.index(file.row.row)
    for place in range(begin, begin + len(file.row.row)):
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises(CertificateError) as caught:
            verify_certificate(changed, trust_of(), NOW)
        assert caught.value.step in MEMBER_STEPS["row"]


def test_every_field_of_a_claim_is_signed(station: Certified, registry: Registry) -> None:
    file = used(station, registry)
    for place, given in enumerate(file.claims):
        sign1 = parse_claim(given.entry).sign1
        header, payload = cbor.decode(sign1.protected_bytes), cbor.decode(sign1.payload or b"")
        changed = [(header, fields) for fields in one_changed(payload)]
        changed += [(fields, payload) for fields in one_changed(header)]
        assert len(changed) > 8
        for one_header, one_payload in changed:
            entry = cose.Sign1(
                cbor.encode(one_header), one_header, {}, cbor.encode(one_payload), sign1.signature
            ).encode()
            claims = [*file.claims]
            claims[place] = GivenClaim(entry, given.receipts)
            with pytest.raises(CertificateError) as caught:
                verified(replace(file, claims=tuple(claims)))
            assert caught.value.step == 2, caught.value


def one_changed(value: Any) -> list[Any]:
    """A map or an array with each of its leaves changed, one at a time."""
    if isinstance(value, dict):
        return [value | {key: one} for key, inner in value.items() for one in one_changed(inner)]
    if isinstance(value, list):
        return [
            [*value[:place], one, *value[place + 1 :]]
            for place, inner in enumerate(value)
            for one in one_changed(inner)
        ]
    if isinstance(value, bytes):
        return [bytes((value[0] ^ 1,)) + value[1:]]
    return [value + 1] if isinstance(value, int) else [value[:-1] + chr(ord(value[-1]) ^ 1)]


def test_each_member_of_another_good_file_is_refused(station: Certified, registry: Registry, other: Certified) -> None:
    file = used(station, registry)
    theirs = other.file(other.registry.claim(ISSUER, other.issue()))
    assert verified(theirs).traced.status == "held"
    second = station.file(*file.claims, place=1)
    refused(4, "C2", replace(file, row=second.row))
    refused(5, "T1", replace(file, period=theirs.period))
    refused(7, "T1", replace(file, plan=theirs.plan))
    refused(8, "T1", replace(file, edges=second.edges))
    refused(8, "T1", replace(file, edges=file.edges[:-1]))
    refused(8, "T1", replace(file, edges=(*file.edges, second.edges[-1])))
    refused(4, "C2", replace(file, claims=theirs.claims))
    refused(6, "T1", replace(file, period=file.plan))
    refused(7, "T1", replace(file, plan=file.period))
    refused(8, "T1", replace(file, edges=(*file.edges[:-1], file.plan)))
    refused(8, "T1", replace(file, edges=(*file.edges, file.edges[0])))
    refused(8, "T1", replace(file, edges=file.edges[::-1]))


def test_another_statement_with_the_same_rows_is_refused(
    station: Certified, registry: Registry, tmp_path: Path
) -> None:
    same = Certified.made(tmp_path, lambda from_ms: certified_plan(from_ms, zone="CN-GD"))
    assert same.rows == station.rows
    refused(6, "T1", replace(used(station, registry), period=same.proofs[same.period]))


def test_claims_stand_whole_and_in_the_order_of_the_log(station: Certified, registry: Registry) -> None:
    file = used(station, registry)
    issue, move, retire = file.claims
    refused(3, "V1", replace(file, claims=(move, retire)))
    assert "Not the holder" in refused(3, "R3", replace(file, claims=(issue, retire)))
    refused(3, "R1", replace(file, claims=(issue, retire, move)))
    refused(3, "R1", replace(file, claims=(*file.claims, retire)))
    again = registry.claim(WORKS, Retire(cert_of(issue), (10, 50), "RE100", 0, 1000))
    assert "Final" in refused(3, "R3", replace(file, claims=(*file.claims, again)))
    refused(3, "V1", replace(file, claims=(issue, registry.claim(ISSUER, station.issue(1)))))
    taken = registry.claim(OWNER, Transfer(cert_of(issue), (500, 600), WORKS), number=0)
    assert "Claim number taken" in refused(3, "R5", replace(file, claims=(*file.claims, taken)))
    strange = registry.claim(OWNER, Transfer(bytes(32), (0, 1), WORKS))
    assert "Not this slice" in refused(3, "R1", replace(file, claims=(issue, strange)))


def test_units_are_not_retired_once_they_have_expired(station: Certified, registry: Registry) -> None:
    issue = registry.claim(ISSUER, station.issue(expires_ms=(CLAIMED_S + 120) * 1000))
    in_time = registry.claim(OWNER, Transfer(cert_of(issue), (0, 9), WORKS))
    assert verified(station.file(issue, in_time)).traced.holder == WORKS
    late = registry.claim(WORKS, Retire(cert_of(issue), (0, 9), "RE100", 0, 1000))
    refused(3, "R6", station.file(issue, in_time, late))


def test_a_claim_counts_by_key_and_receipt(station: Certified, registry: Registry) -> None:
    deed = station.issue()
    good = registry.claim(ISSUER, deed)
    entry = good.entry

    def step_2(claim: GivenClaim, trust: Trust | None = None) -> str:
        return refused(2, "C1", station.file(claim), trust)

    assert "no key" in step_2(registry.claim(OWNER, deed))  # a party
    assert "no key" in step_2(registry.claim(ISSUER, deed, signer=key(MINT)))
    assert "no receipt" in step_2(GivenClaim(entry))
    assert "no receipt" in step_2(GivenClaim(entry, (b"junk",)))
    assert "no receipt" in step_2(GivenClaim(entry, registry.claim(ISSUER, deed).receipts))
    elsewhere = registry.claim(ISSUER, deed, registry="other-ledger", by="other-ledger")
    assert "no receipt" in step_2(elsewhere)
    both = trust_of(ledgers=(LEDGER, "other-ledger"))
    assert "no receipt" in step_2(registry.claim(ISSUER, deed, by="other-ledger"), both)
    assert "signed at" in step_2(registry.claim(ISSUER, deed, iat=CLAIMED_S + 9000))
    assert "future" in step_2(registry.claim(ISSUER, deed, time_s=NOW + 4000))
    for line, problem in (("valid_to", "valid until"), ("revoked", "revoked")):
        assert problem in step_2(good, trust_of(limits={ISSUER: f"{line} = {moment(CLAIMED_S)}\n"}))
    assert verified(station.file(good), trust_of(limits={ISSUER: f"revoked = {moment(NOW)}\n"})).issued_s


def test_what_was_issued_is_what_the_row_gives(station: Certified, registry: Registry) -> None:
    def step_4(rule: str, **changes: Any) -> str:
        return refused(4, rule, station.file(registry.claim(ISSUER, station.issue(**changes))))

    origin = station.issue().origin
    assert "90001 units" in step_4("N4", units=90_001)
    assert "another row" in step_4("C2", row=bytes(32))
    for change in (
        {"gateway": "hydro-08"}, {"device": "CN-YN-07-2"}, {"node": "other"},
        {"to_ms": origin.to_ms + QUARTER_MS}, {"from_ms": origin.from_ms - QUARTER_MS},
    ):  # fmt: skip
        assert "origin" in step_4("C2", origin=replace(origin, **change))


@pytest.mark.parametrize(
    ("lie", "step", "rule"),
    [
        (lambda row: row._replace(status="split"), 4, "C2"),
        (lambda row: row._replace(facts=row.facts | {"retrospective": True}), 4, "P2"),
        (lambda row: with_jump(row, "bridged", 5), 4, "C2"),
        (lambda row: with_jump(row, "wrap", 5), 8, "I4"),
        (lambda row: with_jump(row, "wrap", 100_000_000_000), 8, "I3"),
        (lambda row: row._replace(amount=row.amount + 1), 8, "I3"),
        (lambda row: row._replace(amount=row.amount - 1), 8, "I3"),
        (lambda row: row._replace(facts={"edges": []}), 8, "I3"),
        (lambda row: with_edge(row, 1, 1), 8, "I2"),
        (lambda row: with_edge(row, 2, 1), 8, "I2"),
        (lambda row: row._replace(to_ms=row.to_ms + QUARTER_MS), 7, "N6"),
        (lambda row: row._replace(node="other"), 7, "P4"),
    ],
)
def test_a_statement_that_lies_is_found_out(tmp_path: Path, lie: Callable[[Row], Row], step: int, rule: str) -> None:
    liar = Certified.made(tmp_path, quarters=2, lie=lie)
    refused(step, rule, liar.file(liar.registry.claim(ISSUER, liar.issue(units=1))))


def with_jump(row: Row, kind: str, amount: int) -> Row:
    jump = [POINT, kind, decimal(amount), bytes(32)]
    return row._replace(amount=(row.amount or 0) + amount, facts=row.facts | {"jumps": [jump]})


def with_edge(row: Row, place: int, more: int) -> Row:
    (edge,) = row.facts["edges"]
    changed = [*edge]
    changed[place] = decimal(edge[place].value[1] + more)
    return row._replace(facts=row.facts | {"edges": [changed]})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"role": "consumption"}, "C2"),
        ({"role": "discharge"}, "C2"),
        ({"certificate": CERTIFICATE | {"scheme": "offset"}}, "C4"),
        ({"registry": "other-ledger"}, "P8"),
    ],
)
def test_only_a_node_of_production_is_certified_and_by_its_registry(
    tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    made = Certified.made(tmp_path, lambda from_ms: certified_plan(from_ms, **changes), 1)
    refused(7, rule, made.file(made.registry.claim(ISSUER, made.issue())))


def test_a_node_without_device_is_not_certified(tmp_path: Path) -> None:
    def bare(from_ms: int) -> dict[str, Any]:
        fields = certified_plan(from_ms)
        del fields["nodes"]["station"]["certificate"]
        return fields

    made = Certified.made(tmp_path, bare, 1)
    refused(7, "P4", made.file(made.registry.claim(ISSUER, made.issue())))


def test_a_plan_that_ledgers_had_late_is_not_in_force(tmp_path: Path) -> None:
    made = Certified.made(tmp_path, quarters=1, late_s=86_400)
    refused(7, "P2", made.file(made.registry.claim(ISSUER, made.issue())))


def test_proofs_of_members_are_verified(station: Certified, registry: Registry) -> None:
    file = used(station, registry)
    stranger = key_entry("statement", key("stranger").public, VALID_FROM, gateway=GATEWAY)
    refused(6, "V1", file, trust_of(keys={"statement": stranger}))
    meter = key_entry("meter", key("stranger").public, VALID_FROM, gateway=GATEWAY, meter=METER)
    refused(8, "V1", file, trust_of(keys={"meter": meter}))


def test_the_policy_may_ask_for_verifiers(station: Certified, registry: Registry) -> None:
    asks = trust_of(policy="attested = 1\n")
    issue = registry.claim(ISSUER, station.issue())
    refused(9, "V1", station.file(issue), asks)
    bad = registry.claim(AUDITOR, Attest(station.period, "reasonable", "adverse", bytes(32)))
    refused(9, "V1", station.file(issue, bad), asks)
    strange = registry.claim(AUDITOR, Attest(bytes(32), "reasonable", UNMODIFIED, bytes(32)))
    refused(9, "V1", station.file(issue, strange))
    good = registry.claim(AUDITOR, Attest(station.period, "reasonable", UNMODIFIED, bytes(32)))
    proven = verified(station.file(issue, good), asks)
    assert (proven.attested, proven.traced.part) == (((AUDITOR, "reasonable"),), (0, 90_000))
    refused(9, "V1", station.file(issue, good, good), trust_of(policy="attested = 2\n"))
    taken_back = registry.claim(AUDITOR, Attest(station.period, "reasonable", "modified", bytes(32)))
    refused(9, "V1", station.file(issue, good, taken_back), asks)


def test_bytes_that_are_no_file_stop_at_the_first_step(station: Certified, registry: Registry) -> None:
    data = used(station, registry).encode()
    for junk in (b"", b"\xff", data[:-1], data + b"\0", bytes(20 << 20)):
        with pytest.raises(CertificateError) as caught:
            verify_certificate(junk, trust_of(), NOW)
        assert caught.value.step == 1
