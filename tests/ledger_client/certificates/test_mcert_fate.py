"""What registries say against a certificate file: units that moved on, a certificate unknown, an hour issued twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger_client.certificates.mcert.fate import contradictions, span
from ledger_client.certificates.mcert.verify import Proven, verify_certificate
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import EXPORTED, HELD, WITHDRAWN, Slice
from ledger_client.claims.claim import QUARTER_MS, Transfer
from tests.support.certificates.mcert import ISSUER, MILL, OWNER, WORKS, Certified, cert_of, trust_of
from tests.support.evidence import LEDGER, NOW


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Proven:
    """Units [10, 20), held by the works."""
    made = Certified.made(tmp_path_factory.mktemp("station"), quarters=1)
    issue = made.registry.claim(ISSUER, made.issue())
    move = made.registry.claim(OWNER, Transfer(cert_of(issue), (10, 20), WORKS))
    return verify_certificate(made.file(issue, move).encode(), trust_of(), NOW)


def shown(proven: Proven, *slices: Slice) -> Shown:
    return Shown(proven.traced.certificate, slices)


def test_a_registry_that_says_the_same_contradicts_nothing(proven: Proven) -> None:
    certificate = shown(
        proven, Slice(0, 10, HELD, OWNER), Slice(10, 20, HELD, WORKS), Slice(20, 90_000, EXPORTED, OWNER)
    )
    assert contradictions(proven, certificate, {LEDGER: [certificate]}) == []


def test_units_that_have_moved_on_are_named(proven: Proven) -> None:
    certificate = shown(proven, Slice(0, 15, HELD, WORKS), Slice(15, 30, HELD, MILL))
    assert contradictions(proven, certificate, {}) == [f"units [15, 20) are held by {MILL} by now (R3)"]


def test_a_registry_that_does_not_know_it_says_so(proven: Proven) -> None:
    (problem,) = contradictions(proven, None, {})
    assert problem == f"{LEDGER} knows no certificate {proven.traced.certificate.id.hex()} (R1)"
    other = replace(proven.traced.certificate, units=1)
    assert contradictions(proven, Shown(other, ()), {}) == [problem]


@pytest.mark.parametrize(
    ("begin", "end", "status", "double"),
    [(0, 1, HELD, True), (-3, 1, HELD, True), (-4, 0, HELD, False), (1, 2, HELD, False), (0, 1, WITHDRAWN, False)],
)
def test_an_hour_that_another_certificate_has_is_named(
    proven: Proven, begin: int, end: int, status: str, double: bool
) -> None:
    certificate = shown(proven, Slice(10, 20, HELD, WORKS))
    made = proven.traced.certificate
    from_ms, to_ms = (made.from_ms + quarters * QUARTER_MS for quarters in (begin, end))
    other = Shown(replace(made, id=bytes(32), from_ms=from_ms, to_ms=to_ms), (Slice(0, 9, status, MILL),))
    problem = contradictions(proven, certificate, {LEDGER: [certificate], "elsewhere": [other]})
    assert problem == (
        [f"elsewhere has a certificate of this device and time, too: {'00' * 32} (R2)"] if double else []
    )
    device, asked_from_ms, asked_to_ms = span(proven)
    assert (device == made.device, asked_from_ms <= from_ms < asked_to_ms) == (True, begin < 1)


def test_the_same_time_of_another_device_is_no_double(proven: Proven) -> None:
    certificate = shown(proven, Slice(10, 20, HELD, WORKS))
    other = Shown(replace(proven.traced.certificate, id=bytes(32), device=bytes(32)), (Slice(0, 9, HELD, MILL),))
    assert contradictions(proven, certificate, {LEDGER: [certificate, other]}) == []
