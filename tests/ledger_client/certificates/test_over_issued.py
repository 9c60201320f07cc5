"""Over-issued months: what was issued beyond the highest version, less what was withdrawn or made up for."""

from __future__ import annotations

from dataclasses import replace

from ledger_client.certificates.over_issued import Issued, OverIssue, made_up, over_issued
from ledger_client.claims.certificate import Certificate, Slice, certificate_of
from ledger_client.claims.claim import Claim, Deed, Retire, Transfer
from tests.support.certificates.claimed import HASH, UNITS, issue

MONTH_MS = 10**12


def certificate(quarter: int = 0, device: str = "dev") -> Certificate:
    deed = issue("a", 1, quarter, device)
    return certificate_of(Claim("issuer-1", 0, "reg", 0, deed), deed)


def issued(made: Certificate, status: str = "held", relief: int = 0) -> Issued:
    return Issued(made, [Slice(0, UNITS, status, "a")], relief)


def found(*many: Issued, gives: int | None) -> list[OverIssue]:
    return over_issued(many, lambda _: gives, lambda ms: ms // MONTH_MS * MONTH_MS)


def test_an_hour_that_gives_less_is_over_issued_by_the_difference() -> None:
    (month,) = found(issued(certificate()), issued(certificate(1)), gives=UNITS - 3)
    assert [one.units for one in month.excess] == [3, 3]
    assert month.units == 6


def test_an_hour_that_gives_more_makes_up_for_no_other() -> None:
    """The month gives as much as was issued for it, and one certificate is in excess all the same."""
    less, more = certificate(), certificate(1)
    given = {less.id: UNITS - 3, more.id: UNITS + 3}
    (month,) = over_issued([issued(less), issued(more)], lambda made: given[made.id], lambda _: 0)
    assert [(one.certificate, one.units) for one in month.excess] == [(less, 3)]
    assert month.units == 3


def test_an_hour_that_gives_enough_or_of_which_nobody_knows_is_not() -> None:
    assert found(issued(certificate()), gives=UNITS) == []
    assert found(issued(certificate()), gives=None) == []


def test_withdrawing_ends_it() -> None:
    assert found(issued(certificate(), "withdrawn"), gives=0) == []


def test_retiring_the_difference_in_the_same_month_ends_it() -> None:
    over, other = issued(certificate()), certificate(1)
    assert found(over, issued(other, relief=3), gives=UNITS - 3)[0].units == 3  # the other hour is in excess, too
    given = {over.certificate.id: UNITS - 3}.get
    assert over_issued([over, issued(other, relief=3)], lambda made: given(made.id), lambda _: 0) == []
    assert over_issued([over, issued(other, relief=2)], lambda made: given(made.id), lambda _: 0)[0].units == 1


def test_another_device_or_month_makes_up_for_nothing() -> None:
    over = issued(certificate())
    foreign = issued(certificate(1, "other"), relief=50)
    later = issued(replace(certificate(1), from_ms=MONTH_MS), relief=50)
    given = {over.certificate.id: 0}.get
    (month,) = over_issued([over, foreign, later], lambda made: given(made.id), lambda ms: ms // MONTH_MS)
    assert month.units == UNITS


def test_only_retirements_for_the_purpose_make_up() -> None:
    deeds: tuple[Deed, ...] = (
        Retire(HASH, (0, 3), "over-issued", 0, 1),
        Retire(HASH, (3, 9), "RE100", 0, 1),
        Transfer(HASH, (9, 12), "b"),
    )
    assert made_up(Claim("a", number, "reg", 0, deed) for number, deed in enumerate(deeds)) == 3
