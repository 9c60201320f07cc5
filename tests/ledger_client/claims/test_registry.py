"""The registry's one function: what it admits, and with which title it refuses, claim by claim."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest

from ledger_client.claims.certificate import Slice, certificate_of
from ledger_client.claims.claim import (
    QUARTER_MS,
    Attest,
    Balance,
    Claim,
    Deed,
    Export,
    Issue,
    Origin,
    Retire,
    Transfer,
    Withdraw,
)
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import apply
from ledger_client.errors import Refused
from tests.ledger_client.claims.test_claim import DEEDS, HASH, OFFSET

PARTIES = {"issuer-1": "issuer", "issuer-2": "issuer", "a": "party", "b": "party", "verifier-1": "verifier"}
UNITS = 100


def issue(quarters: int = 4, first: int = 0, device: str = "dev", row: bytes = HASH, to: str = "a") -> Issue:
    origin = Origin("gw", "node", device, first * QUARTER_MS, (first + quarters) * QUARTER_MS)
    return Issue(origin, UNITS, to, HASH, row)


@dataclass
class Desk:
    """A registry that numbers claims itself."""

    state: MemoryState = field(default_factory=MemoryState)

    def claim(self, party: str, deed: Deed, number: int | None = None, registry: str = "reg") -> Claim:
        mine = self.state.next_number(party) if number is None else number
        return Claim(party, mine, registry, 0, deed)

    def do(self, party: str, deed: Deed, number: int | None = None, registry: str = "reg") -> None:
        apply(self.state, self.claim(party, deed, number, registry), PARTIES.get, "reg")

    def refused(self, party: str, deed: Deed, number: int | None = None, registry: str = "reg") -> str:
        before = deepcopy(self.state)
        with pytest.raises(Refused) as caught:
            self.do(party, deed, number, registry)
        assert self.state == before, "a refused claim has changed something"
        return caught.value.title

    def issued(self) -> bytes:
        claim = self.claim("issuer-1", issue())
        apply(self.state, claim, PARTIES.get, "reg")
        assert isinstance(claim.deed, Issue)
        return certificate_of(claim, claim.deed).id


def test_a_part_goes_on_and_the_rest_stays() -> None:
    desk = Desk()
    cert = desk.issued()
    desk.do("a", Transfer(cert, (20, 30), "b"))
    desk.do("b", Retire(cert, (25, 30), "RE100", 0, 1))
    desk.do("a", Export(cert, (0, 5), "I-REC", "ref"))
    assert desk.state.parts[cert] == [
        Slice(0, 5, "exported", "a"), Slice(5, 20, "held", "a"), Slice(20, 25, "held", "b"),
        Slice(25, 30, "retired", "b"), Slice(30, 100, "held", "a"),
    ]  # fmt: skip


def test_units_over_several_slices_go_in_one_claim() -> None:
    desk = Desk()
    cert = desk.issued()
    desk.do("a", Transfer(cert, (20, 30), "b"))
    desk.do("b", Transfer(cert, (20, 30), "a"))
    desk.do("a", Transfer(cert, (10, 90), "b"))
    assert {one.holder for one in desk.state.slices(cert, (10, 90))} == {"b"}
    assert sum(one.end - one.begin for one in desk.state.parts[cert]) == UNITS


def test_the_first_unit_that_cannot_move_decides() -> None:
    desk = Desk()
    cert = desk.issued()
    desk.do("a", Transfer(cert, (20, 30), "b"))
    desk.do("a", Retire(cert, (40, 50), "RE100", 0, 1))
    assert desk.refused("a", Transfer(cert, (10, 60), "b")) == "Not the holder"
    assert desk.refused("a", Transfer(cert, (35, 200), "b")) == "Final"
    assert desk.refused("a", Transfer(cert, (60, 101), "b")) == "Not this slice"
    assert desk.refused("a", Transfer(HASH, (0, 1), "b")) == "Not this slice"
    assert desk.refused("a", Transfer(cert, (0, 1), "nobody")) == "Unknown party"
    assert desk.refused("a", Transfer(cert, (0, 1), "issuer-2")) == "Unknown party"


def test_no_quarter_of_a_device_is_issued_twice() -> None:
    desk = Desk()
    desk.issued()
    assert desk.refused("issuer-1", issue()) == "Origin taken"
    for quarter in range(4):
        assert desk.refused("issuer-2", issue(1, quarter)) == "Origin taken"
    desk.do("issuer-2", issue(1, 4))
    assert desk.refused("issuer-1", issue(4, 4)) == "Origin taken"
    desk.do("issuer-1", issue(device="other"))


def test_a_withdrawn_certificate_frees_its_hour_and_not_its_id() -> None:
    desk = Desk()
    cert = desk.issued()
    assert desk.refused("issuer-2", Withdraw(cert, "mine")) == "Not the issuer"
    assert desk.refused("a", Withdraw(cert, "mine")) == "Not the issuer"
    desk.do("issuer-1", Withdraw(cert, "restated"))
    assert desk.refused("issuer-1", issue()) == "Final"
    assert desk.refused("a", Transfer(cert, (0, 1), "b")) == "Final"
    assert desk.refused("issuer-1", Withdraw(cert, "again")) == "Final"
    desk.do("issuer-1", issue(row=b"\x02" * 32))


def test_a_certificate_that_has_moved_is_not_withdrawn() -> None:
    desk = Desk()
    cert = desk.issued()
    desk.do("a", Transfer(cert, (99, 100), "b"))
    assert desk.refused("issuer-1", Withdraw(cert, "restated")) == "Not the holder"


def test_numbers_have_no_hole_and_serve_once() -> None:
    desk = Desk()
    assert desk.refused("issuer-1", issue(), 1) == "Out of order"
    desk.issued()
    assert desk.refused("issuer-1", issue(device="other"), 0) == "Claim number taken"


def test_a_claim_of_another_role_or_registry_is_refused() -> None:
    desk = Desk()
    cert = desk.issued()
    assert desk.refused("a", issue(device="x")) == "Not the issuer"
    assert desk.refused("stranger", Transfer(cert, (0, 1), "b")) == "Unknown party"
    assert desk.refused("issuer-1", Transfer(cert, (0, 1), "b")) == "Unknown party"
    assert desk.refused("a", Attest(HASH, "limited", "fair", HASH)) == "Unknown party"
    assert desk.refused("issuer-1", issue(device="x", to="issuer-2")) == "Unknown party"
    assert desk.refused("a", Transfer(cert, (0, 1), "b"), registry="other") == "Malformed claim"
    desk.do("verifier-1", Attest(HASH, "limited", "fair", HASH))


def test_a_serial_serves_one_balance() -> None:
    desk = Desk()
    balance = DEEDS[-1]
    assert isinstance(balance, Balance)
    desk.do("a", balance)
    desk.do("a", replace(balance, exclusions=()))  # of the same period: it takes the place of the first
    overlapping = replace(balance, offsets=(replace(OFFSET, first=500, last=900),))
    assert desk.refused("b", overlapping) == "Not the holder"
    behind = replace(overlapping, from_ms=balance.to_ms, to_ms=balance.to_ms + 1)
    assert desk.refused("a", behind) == "Not the holder"
    desk.do("b", replace(balance, offsets=(replace(OFFSET, first=501, last=900),)))


def of_time(from_ms: int, to_ms: int, *serials: int) -> Balance:
    balance = DEEDS[-1]
    assert isinstance(balance, Balance)
    offsets = tuple(replace(OFFSET, first=serial, last=serial) for serial in serials)
    return replace(balance, from_ms=from_ms, to_ms=to_ms, offsets=offsets)


def test_a_balance_takes_the_place_of_those_in_its_period_and_overlaps_no_other() -> None:
    """A year of its months; serials of what it replaces are free, those of other parties and times are not."""
    desk = Desk()
    desk.do("a", of_time(0, 10, 1))
    desk.do("a", of_time(10, 20))
    desk.do("a", of_time(30, 40, 3))
    desk.do("b", of_time(5, 15))
    for overlap in (of_time(5, 15), of_time(0, 9), of_time(1, 10), of_time(0, 11), of_time(2, 3), of_time(15, 35)):
        assert desk.refused("a", overlap) == "Final"
    assert desk.refused("a", of_time(0, 20, 3)) == "Not the holder"
    desk.do("a", of_time(0, 20, 1))
    assert desk.refused("a", of_time(0, 10)) == "Final"
    assert desk.refused("b", of_time(0, 20, 1)) == "Not the holder"
    desk.do("a", of_time(0, 30))
    desk.do("b", of_time(0, 20, 1))
