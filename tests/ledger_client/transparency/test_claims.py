"""Claims at an embedded ledger: log, receipts and registry in one transaction, asked again over HTTP and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ledger_client.claims.certificate import Slice, digest
from ledger_client.claims.claim import Balance, Issue, Offset, Retire, Transfer, Withdraw, parse_claim
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import apply
from ledger_client.errors import Refused
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.formats.statement import attach_receipts
from ledger_client.ledgers.http_registry import HttpRegistry
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.service import Service
from tests.support.certificates.claimed import HASH, UNITS, Party, enrol, issue
from tests.support.enrolled import Gateway, policy_with
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.support.stored_log import STORES, Stored

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Database

NAME = "reg"


class Desk(NamedTuple):
    folder: LedgerDir
    service: Service
    issuer: Party
    a: Party
    b: Party

    def refused(self, entry: bytes) -> str:
        size = self.size()
        with pytest.raises(Refused) as caught:
            self.service.submit(entry)
        assert self.size() == size
        return caught.value.title

    def size(self) -> int:
        with self.folder.log.read() as log:
            return log.size()

    def slices(self, cert: bytes) -> list[Slice]:
        with self.folder.log.read() as log:
            return list(log.claims.slices(cert, (0, UNITS)))


def parties() -> tuple[Party, Party, Party]:
    return Party("issuer-1", "issuer", NAME), Party("a", "party", NAME), Party("b", "party", NAME)


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    database: Database | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    folder = open_dir(Stored(tmp_path, database).make(NAME), None)
    with closing(folder):
        made = parties()
        enrol(folder.policy, made)
        yield Desk(folder, Service(folder, CommittedPolicy.begun(folder)), *made)


def issued(desk: Desk, deed: Issue | None = None) -> bytes:
    deed = issue("a") if deed is None else deed
    desk.service.submit(desk.issuer.sign(deed))
    return desk.issuer.cert(deed)


def test_a_claim_gets_a_receipt_of_the_log_and_the_same_again(desk: Desk) -> None:
    entry = desk.issuer.sign(issue("a"))
    identifier, receipt = desk.service.submit(entry)
    with desk.folder.log.read() as log:
        signer, _ = desk.folder.keys(log)
    check(parse_receipt(receipt), entry, signer.public)
    assert desk.service.submit(entry) == (identifier, receipt)
    assert desk.service.submit(attach_receipts(entry, [receipt])) == (identifier, receipt)
    assert desk.service.receipt(identifier) == receipt


def test_who_holds_what_follows_from_the_claims(desk: Desk) -> None:
    cert = issued(desk)
    desk.service.submit(desk.a.sign(Transfer(cert, (10, 20), "b")))
    desk.service.submit(desk.b.sign(Retire(cert, (15, 20), "RE100", 0, 1)))
    assert desk.slices(cert) == [
        Slice(0, 10, "held", "a"), Slice(10, 15, "held", "b"), Slice(15, 20, "retired", "b"),
        Slice(20, UNITS, "held", "a"),
    ]  # fmt: skip


def test_serials_of_any_text_are_used_once(desk: Desk) -> None:
    """PostgreSQL's texts have no U+0000."""
    offset = Offset("reg\0istry", "pro\0ject 項目", 2024, 5, 9, HASH)
    used = Balance(0, 10, "b", (), (HASH,), (), (0, HASH), (offset,), {"residual": Decimal("1.5")})
    desk.service.submit(desk.a.sign(used))
    assert desk.refused(desk.b.sign(used)) == "Not the holder"
    assert desk.refused(desk.b.sign(replace(used, offsets=(replace(offset, first=1, last=5),)), 0)) == "Not the holder"
    desk.service.submit(desk.b.sign(replace(used, offsets=(replace(offset, first=1, last=4),)), 0))


def test_a_refused_claim_leaves_no_entry_and_no_number(desk: Desk) -> None:
    cert = issued(desk)
    assert desk.refused(desk.issuer.sign(issue("a", 1, 2), 1)) == "Origin taken"
    assert desk.refused(desk.b.sign(Transfer(cert, (0, 1), "a"), 0)) == "Not the holder"
    assert desk.refused(desk.a.sign(Transfer(cert, (0, 101), "b"), 0)) == "Not this slice"
    assert desk.refused(desk.a.sign(Transfer(cert, (0, 1), "b"), 1)) == "Out of order"
    assert desk.refused(desk.a.sign(issue("a", device="x"), 0)) == "Not the issuer"
    assert desk.refused(desk.a.sign(Transfer(cert, (0, 1), "b"), 0, "other")) == "Malformed claim"
    assert desk.refused(Party("a", "party", NAME).sign(Transfer(cert, (0, 1), "b"))) == "Unknown key"
    desk.service.submit(desk.a.sign(Transfer(cert, (0, 1), "b")))
    assert desk.refused(desk.a.sign(Transfer(cert, (1, 2), "b"), 0)) == "Claim number taken"


def test_a_damaged_claim_is_refused_with_its_reason(desk: Desk) -> None:
    entry = desk.issuer.sign(issue("a"))
    assert desk.refused(entry[:-1] + bytes([entry[-1] ^ 1])) == "Bad signature"
    assert desk.refused(entry[:-9]) == "Malformed statement"
    assert desk.refused(b"") == "Malformed statement"


def test_a_gateways_key_signs_no_claim_and_a_partys_no_statement(tmp_path: Path) -> None:
    folder = open_dir(tmp_path, NAME)
    with closing(folder):
        gateway, issuer = Gateway("gw-1"), Party("issuer-1", "issuer", NAME)
        policy_with(folder, [gateway])
        enrol(folder.policy, [issuer])
        service = Service(folder, CommittedPolicy.begun(folder))
        thief, impostor = Party("gw-1", "issuer", NAME, key=gateway.key), Gateway("issuer-1")
        impostor.key = issuer.key
        for entry in (thief.sign(issue("a")), impostor.statement(0)):
            with pytest.raises(Refused, match="Unknown key"):
                service.submit(entry)


def test_a_revoked_party_claims_and_receives_no_more(desk: Desk) -> None:
    cert = issued(desk)
    text = desk.folder.policy.read_text()
    head, name, tail = text.partition('party = "b"')
    desk.folder.policy.write_text(head + name + "\nrevoked = 2026-01-01T00:00:00Z" + tail)
    desk.service.register_policy()
    assert desk.refused(desk.a.sign(Transfer(cert, (0, 1), "b"), 0)) == "Unknown party"
    assert desk.refused(desk.b.sign(Transfer(cert, (0, 1), "a"), 0)) == "Key not valid"


def test_claims_and_statements_share_the_log_and_a_restart_keeps_both(tmp_path: Path) -> None:
    issuer, a, b = parties()
    gateway = Gateway("gw-1")
    with closing(open_dir(tmp_path, NAME)) as folder:
        policy_with(folder, [gateway])
        enrol(folder.policy, (issuer, a, b))
        service = Service(folder, CommittedPolicy.begun(folder))
        entries = [issuer.sign(issue("a")), gateway.statement(0), gateway.statement(1)]
        receipts = [service.submit(entry)[1] for entry in entries]
        with folder.log.read() as log:
            assert log.gateways() == [("gw-1", 2, 1)]
    with closing(open_dir(tmp_path, None)) as folder:
        service = Service(folder, CommittedPolicy.begun(folder))
        assert [service.submit(entry)[1] for entry in entries] == receipts
        service.submit(a.sign(Transfer(issuer.cert(issue("a")), (0, 5), "b")))


def test_a_replay_of_the_log_gives_the_ledgers_state(desk: Desk) -> None:
    cert = issued(desk)
    other = issued(desk, issue("b", 1, 9))
    desk.service.submit(desk.a.sign(Transfer(cert, (10, 20), "b")))
    desk.service.submit(desk.issuer.sign(Withdraw(other, "restated")))
    state = MemoryState()
    roles = {party.name: party.role for party in (desk.issuer, desk.a, desk.b)}
    with desk.folder.log.read() as log:
        for _, entry in log.entries(0, 1000):
            if b"vnd.meterseal.claim" in entry:
                apply(state, parse_claim(entry).claim, roles.get, NAME)
        for made in state.certificates.values():
            assert list(log.claims.slices(made.id, (0, made.units))) == state.parts[made.id]
            assert log.claims.certificate(made.id) == made
            assert log.claims.taken(made.device, made.quarters) == state.taken(made.device, made.quarters)
        for party in roles:
            assert log.claims.next_number(party) == state.next_number(party)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[EmbeddedLedger, HttpRegistry, tuple[Party, Party, Party]]]:
    with embedded_ledger(tmp_path / "ledger", NAME) as ledger:
        made = parties()
        enrol(ledger.folder / "policy.toml", made)
        with closing(HttpRegistry(NAME, ledger.url)) as registry:
            yield ledger, registry, made


def test_over_http_a_party_learns_its_number_and_what_it_holds(
    served: tuple[EmbeddedLedger, HttpRegistry, tuple[Party, Party, Party]],
) -> None:
    _, registry, (issuer, a, b) = served
    assert registry.party("issuer-1") == (0, "issuer")
    assert registry.party("nobody") == (0, None)
    first, second = issue("a"), issue("a", 1, 4)
    entries = [issuer.sign(first), issuer.sign(second), a.sign(Transfer(issuer.cert(first), (0, 30), "b"))]
    receipts = [registry.submit(entry) for entry in entries]
    assert registry.party("issuer-1") == (2, "issuer")
    shown = registry.certificate(issuer.cert(first))
    assert shown is not None
    assert [(claim.entry, claim.receipt) for claim in shown.claims] == [
        (entries[0], receipts[0]),
        (entries[2], receipts[2]),
    ]
    assert [(s.begin, s.end, s.holder) for s in shown.slices] == [(0, 30, "b"), (30, UNITS, "a")]
    assert registry.certificate(HASH) is None
    hours = list(registry.of_device(digest("dev"), 0, 10**9))
    assert [one.certificate.id for one in hours] == [issuer.cert(first), issuer.cert(second)]
    assert [[(s.begin, s.end) for s in one.slices] for one in registry.of_holder("b")] == [[(0, 30)]]
    assert {one.certificate.id for one in registry.of_holder("a")} == {issuer.cert(first), issuer.cert(second)}
    with pytest.raises(Refused, match="Not the holder"):
        registry.submit(b.sign(Retire(issuer.cert(first), (29, 31), "RE100", 0, 1)))


def test_a_ledger_that_is_killed_keeps_what_had_its_receipt(
    served: tuple[EmbeddedLedger, HttpRegistry, tuple[Party, Party, Party]],
) -> None:
    ledger, registry, (issuer, _, _) = served
    entries = [issuer.sign(issue("a", 1, quarter)) for quarter in range(5)]
    receipts = [registry.submit(entry) for entry in entries]
    ledger.kill()
    ledger.start()
    with closing(HttpRegistry(NAME, ledger.url)) as again:
        assert [again.submit(entry) for entry in entries] == receipts
        assert again.party("issuer-1") == (5, "issuer")
