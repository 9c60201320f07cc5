"""Alarm `over-issued` over a gateway's own statements and a running embedded ledger (C3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.accounting.certified.asking import Question, Registries
from gateway.accounting.certified.excess import Over, exceeded
from gateway.accounting.statements.keeper import Keeper
from gateway.accounting.statements.stated import StatedRows
from gateway.alarms.accounting_checks import AccountingChecks
from gateway.alarms.checks import Conditions
from gateway.messages.languages import in_language
from gateway.records import GATEWAY
from ledger_client.claims.certificate import digest
from ledger_client.claims.claim import Retire, Withdraw
from tests.support.certificates.certified_site import DEVICE, LEDGER, CertifiedSite, certified_site, known
from tests.support.stated import QUARTER_MS

LESS = 5000


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[CertifiedSite]:
    with certified_site(tmp_path) as found:
        yield found


def found(of: CertifiedSite) -> list[Over] | None:
    """With a registry that remembers nothing."""
    registries = Registries(lambda: of.site.loaded)
    rows = StatedRows(of.site.loaded.data / "statements")
    try:
        over: list[Over] | None = known(registries, lambda: exceeded(registries, rows, of.history()))
    finally:
        registries.close()
    return over


def restated(of: CertifiedSite) -> tuple[bytes, bytes]:
    """Each quarter is certified as it was stated; then the second is stated with LESS Wh less. The certificates of that
    and of the third."""
    units = of.state()
    certs = [of.issue(n, units[n]) for n in range(4)]
    assert found(of) == []
    assert of.state("a mistake", {1: LESS}) == [90_000, 90_000 - LESS, 90_000, 90_000]
    return certs[1], certs[2]


def test_a_restatement_with_less_is_over_issued_until_it_is_withdrawn(certified: CertifiedSite) -> None:
    cert, _ = restated(certified)

    (over,) = found(certified) or []
    assert (over.plan, over.node, over.ledger, over.units, over.months) == ("main", "station", LEDGER, LESS, 1)

    certified.claim(certified.issuer, Withdraw(cert, "restated"))
    assert found(certified) == []


def test_an_hour_that_gives_more_makes_up_for_no_other(certified: CertifiedSite) -> None:
    """As an audit counts it: by certificate."""
    units = certified.state()
    for n in range(4):
        certified.issue(n, units[n])
    assert sum(certified.state("a mistake", {1: LESS, 2: -LESS})) == sum(units)
    (over,) = found(certified) or []
    assert over.units == LESS


def test_or_until_as_much_of_that_month_is_retired_for_it(certified: CertifiedSite) -> None:
    """Of any certificate of the device and month; a retirement for anything else does not count."""
    cert, other = restated(certified)
    period = (certified.site.from_ms, certified.site.from_ms + QUARTER_MS)

    def left() -> list[int]:
        return [over.units for over in found(certified) or []]

    certified.claim(certified.a, Retire(cert, (0, 1000), "sold", *period))
    assert left() == [LESS]
    certified.claim(certified.a, Retire(cert, (1000, 3000), "over-issued", *period))
    assert left() == [LESS - 2000]
    certified.claim(certified.a, Retire(other, (0, LESS - 2000), "over-issued", *period))
    assert left() == []


def test_the_alarm_says_so_and_stays_as_it_is_while_the_ledger_is_away(certified: CertifiedSite) -> None:
    site, checks = certified.site, AccountingChecks()
    units = certified.state()
    certified.issue(0, units[0] + 7)
    at_ms = site.machine.wall_ms

    accounts = Keeper(site.loaded.database, lambda: at_ms).read()

    def look() -> Conditions | None:
        return checks.run(site.loaded, accounts, at_ms).alarms.get("over-issued")

    first = look()
    assert first is None  # nobody waits for the ledger
    assert checks._registries is not None
    raised = known(checks._registries, look)
    assert list(raised) == [(GATEWAY, "plan main, node station")]
    sentence, _ = raised[GATEWAY, "plan main, node station"]
    assert f"ledger {LEDGER} shows 7 Wh more certified than stated" in str(sentence)
    assert f"账本 {LEDGER} 上的证书比报表多 7 Wh" in in_language(sentence, "zh")
    checks.close()

    certified.ledger.stop()
    fresh = AccountingChecks()
    assert fresh.run(site.loaded, accounts, at_ms).alarms.get("over-issued") is None
    assert fresh._registries is not None
    away = known(fresh._registries, lambda: fresh.run(site.loaded, accounts, at_ms).alarms)
    assert "over-issued" not in away
    assert "statement-overdue" in away
    fresh.close()


def test_what_a_ledger_showed_is_kept_while_it_is_away(certified: CertifiedSite) -> None:
    units = certified.state()
    certified.issue(0, units[0])
    registries = Registries(lambda: certified.site.loaded, fresh_s=0)
    question = Question(digest(DEVICE), certified.site.from_ms, certified.site.from_ms + QUARTER_MS)

    (registry,) = registries.look(question)
    assert (registry.shown, registry.asking) == (None, True)
    registries.wait(60)
    (registry,) = registries.look(question)
    assert [shown.certificate.units for shown in registry.shown or ()] == [units[0]]
    registries.wait(60)
    certified.ledger.stop()
    registries.look(question)
    registries.wait(60)
    (registry,) = registries.look(question)
    registries.close()
    assert registry.problem is not None
    assert registry.shown is not None
    assert len(registry.shown) == 1
