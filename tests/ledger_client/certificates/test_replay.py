"""A replay of a ledger's log: the ledger's own state, or by name each entry that the rules do not admit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_client.certificates.replay import UNSOUND, Replay, replay
from ledger_client.claims.claim import Balance, Retire, Transfer, Withdraw
from ledger_client.errors import Malformed, Refused
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log import tree
from tests.support.certificates.claimed import HASH, UNITS, Party, enrol, issue

NAME = "reg"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LedgerDir]:
    with closing(open_dir(tmp_path, NAME)) as made:
        yield made


def begun(folder: LedgerDir, *parties: Party) -> Service:
    enrol(folder.policy, parties)
    return Service(folder, CommittedPolicy.begun(folder))


def replayed(folder: LedgerDir) -> Replay:
    with folder.log.read() as log:
        return replay(NAME, log.entries(0, 10_000))


def append(folder: LedgerDir, entry: bytes) -> None:
    """What a dishonest ledger does: an entry that it should have refused."""
    with folder.log.write() as log:
        log.append(entry, lambda _: b"")


def test_a_sound_log_gives_the_ledgers_state(folder: LedgerDir) -> None:
    issuer, a, b = Party("issuer-1", "issuer", NAME), Party("a", "party", NAME), Party("b", "party", NAME)
    service = begun(folder, issuer, a, b)
    first, second = issue("a"), issue("a", 1, 8)
    cert = issuer.cert(first)
    for entry in (
        issuer.sign(first), issuer.sign(second), a.sign(Transfer(cert, (3, 40), "b")),
        b.sign(Retire(cert, (3, 5), "RE100", 0, 1)), issuer.sign(Withdraw(issuer.cert(second), "restated")),
    ):  # fmt: skip
        service.submit(entry)
    made = replayed(folder)
    assert made.faults == []
    assert len(made.claims) == 5
    with folder.log.read() as log:
        assert made.root == tree.root(log.size(), log.node)
        for one in made.state.certificates.values():
            assert list(log.claims.slices(one.id, (0, UNITS))) == made.state.parts[one.id]


def test_a_ledger_that_admits_a_double_is_named(folder: LedgerDir) -> None:
    issuer, other, a = Party("issuer-1", "issuer", NAME), Party("issuer-2", "issuer", NAME), Party("a", "party", NAME)
    service = begun(folder, issuer, other, a)
    service.submit(issuer.sign(issue("a")))
    cert = issuer.cert(issue("a"))
    service.submit(a.sign(Retire(cert, (0, 10), "RE100", 0, 1)))
    begin = replayed(folder).leaves
    append(folder, other.sign(issue("a", 1, 2)))
    append(folder, a.sign(Retire(cert, (9, 11), "RE100", 0, 1)))
    append(folder, a.sign(Retire(cert, (20, 21), "RE100", 0, 1)))
    faults = replayed(folder).faults
    assert [(fault.number - len(begin), fault.title) for fault in faults] == [
        (0, "Origin taken"), (1, "Final"), (2, "Out of order"),
    ]  # fmt: skip


def test_balances_that_overlap_are_named_and_refused_by_the_log_itself(folder: LedgerDir) -> None:
    """A year takes the place of its months, by the claims of the log; half a month does not (R2)."""

    def balance(begin: int, end: int) -> bytes:
        return a.sign(Balance(begin, end, "b", (), (HASH,), (), (0, HASH), (), {"residual": Decimal("1.500")}))

    a = Party("a", "party", NAME)
    service = begun(folder, a)
    service.submit(balance(0, 10))
    service.submit(balance(10, 20))
    overlapping = balance(5, 15)
    with pytest.raises(Refused, match=r"1970-01-01T00:00:00\.000Z to 1970-01-01T00:00:00\.010Z"):
        service.submit(overlapping)
    append(folder, overlapping)
    (fault,) = replayed(folder).faults
    assert (fault.title, "does not cover all of it (R2)" in str(fault.detail)) == ("Final", True)


def test_a_year_takes_the_place_of_its_months(folder: LedgerDir) -> None:
    a = Party("a", "party", NAME)
    service = begun(folder, a)
    for begin, end in ((0, 10), (10, 20), (0, 20), (20, 30), (0, 30)):
        service.submit(a.sign(Balance(begin, end, "b", (), (HASH,), (), (0, HASH), (), {"residual": Decimal("1.5")})))
    assert replayed(folder).faults == []


def test_a_claim_by_a_key_that_is_revoked_or_none_of_its_party_is_named(folder: LedgerDir) -> None:
    issuer, a, b = Party("issuer-1", "issuer", NAME), Party("a", "party", NAME), Party("b", "party", NAME)
    service = begun(folder, issuer, a, b)
    service.submit(issuer.sign(issue("a")))
    cert = issuer.cert(issue("a"))
    append(folder, Party("a", "party", NAME).sign(Transfer(cert, (0, 1), "b")))
    head, name, tail = folder.policy.read_text().partition('party = "a"')
    folder.policy.write_text(head + name + "\nrevoked = 2026-01-01T00:00:00Z" + tail)
    service.register_policy()
    append(folder, a.sign(Transfer(cert, (1, 2), "b")))
    append(folder, b"\xd2\x84" + bytes(10))
    assert [fault.title for fault in replayed(folder).faults] == [UNSOUND, "Unknown party", UNSOUND]


def test_an_entry_left_out_is_refused(folder: LedgerDir) -> None:
    begun(folder, Party("a", "party", NAME))
    with folder.log.read() as log:
        entries = list(log.entries(0, 10))
    with pytest.raises(Malformed, match="entry 1 of the log stands where 0 is expected"):
        replay(NAME, entries[1:])
