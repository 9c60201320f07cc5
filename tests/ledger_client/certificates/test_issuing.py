"""Each interval of a statement becomes a certificate, or is refused by its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Rows, parse_row, salt, salted_leaf
from ledger_client.certificates.given import Given
from ledger_client.certificates.issuing import Judged, WhyNot
from ledger_client.certificates.over_issued import Issued
from ledger_client.claims.certificate import Slice, certificate_of, digest
from ledger_client.claims.claim import Claim, sign_claim
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality
from tests.support.accounted import POINT, QUARTER_MS
from tests.support.certificates.certified import CERTIFICATE, DEVICE, HOLDER, REGISTRY, Certified, delayed, station
from tests.support.evidence import GATEWAY, METER


@pytest.fixture
def site(tmp_path: Path) -> Certified:
    return Certified(tmp_path)


def rules(why: list[WhyNot]) -> list[str]:
    return [one.rule for one in why]


def of_hours(hours: list[Judged]) -> list[list[str]]:
    return [[one.rule for one in hour.why] for hour in hours]


def refused(site: Certified, node: dict[str, Any], rule: str, **asked: Any) -> str:
    """The one objection to a statement of such a node."""
    site.hour(node)
    whole, hours = site.judged(**asked)
    assert rules(whole) == [rule]
    assert all(hour.deed is None and not hour.why for hour in hours)
    assert len(hours) == 4
    assert whole[0].fix
    return whole[0].problem


def test_each_interval_becomes_the_claim_that_its_row_bears(site: Certified) -> None:
    from_ms = site.hour()
    whole, hours = site.judged(expires_ms=from_ms + 365 * 86_400_000)
    assert whole == []
    assert of_hours(hours) == [[], [], [], []]
    rows = Rows.parse(site.rows_file.read_bytes())
    for index, hour in enumerate(hours):
        deed = hour.deed
        assert deed is not None
        row = parse_row(rows.rows[index])
        assert (deed.origin.gateway, deed.origin.node, deed.origin.device) == (GATEWAY, "station", DEVICE)
        assert (deed.origin.from_ms, deed.origin.to_ms) == (row.from_ms, row.to_ms) == (hour.from_ms, hour.to_ms)
        assert (deed.units, deed.to) == (90_000, HOLDER)
        assert deed.row == salted_leaf(salt(rows.secret, index), rows.rows[index])
        assert sign_claim(Claim("issuer-1", index, REGISTRY, 0, deed), PrivateKey.generate())


def test_what_the_plan_does_not_allow_is_refused_by_its_rule(site: Certified) -> None:
    assert "scheme offset" in refused(site, station(certificate=CERTIFICATE | {"scheme": "offset"}), "C4")


def test_a_node_without_a_device_is_refused(site: Certified) -> None:
    assert "says nothing of the device" in refused(site, station(certificate=None), "P4")


@pytest.mark.parametrize("role", ["discharge", "import", "export", "consumption", "auxiliary", "charge"])
def test_a_node_of_another_role_is_refused(site: Certified, role: str) -> None:
    assert f"of role {role}, not production" in refused(site, station(role=role), "C2")


def test_another_registry_than_the_plans_is_refused(site: Certified) -> None:
    assert "certifies station, this is other" in refused(site, station(), "P8", registry="other")


def test_a_plan_without_a_registry_is_refused(site: Certified) -> None:
    assert "names no registry" in refused(site, station(registry=None), "P8")


def test_an_issuer_says_how_late_batches_may_be(site: Certified) -> None:
    assert "no max_delay" in refused(site, station(), "C2", by=delayed(None))


def test_a_node_that_is_not_there_is_named(site: Certified) -> None:
    site.hour()
    with pytest.raises(AccountingError, match="no node boiler"):
        site.judged(node="boiler")


def test_rows_of_no_statement_are_refused(site: Certified, tmp_path: Path) -> None:
    site.hour()
    other = tmp_path / "other.mrows"
    other.write_bytes(Rows(bytes(32), Rows.parse(site.rows_file.read_bytes()).rows).encode())
    with pytest.raises(AccountingError, match="no statement in the files has these rows"):
        site.judged(rows=other)
    other.write_bytes(b"\xa0")
    with pytest.raises(AccountingError, match="no rows file"):
        site.judged(rows=other)


def test_a_statement_that_its_batches_do_not_give_is_refused(site: Certified) -> None:
    site.lie = {"complete": False}
    site.hour()
    whole, hours = site.judged()
    assert rules(whole) == ["T7"]
    assert "complete: stated False, recomputed True" in whole[0].problem
    assert all(hour.deed is None for hour in hours)


def test_an_unsound_audit_issues_nothing(site: Certified) -> None:
    site.hour()
    whole, _ = site.judged(files=[site.files[0], *site.files[2:]])
    assert rules(whole)[0] == "C2"
    assert "audit of the batches is not sound" in whole[0].problem


def test_an_older_version_is_refused(site: Certified) -> None:
    from_ms = site.hour()
    first = site.rows_file
    site.restate(from_ms, closed_ms=from_ms + 3 * QUARTER_MS)
    whole, _ = site.judged(rows=first)
    assert rules(whole) == ["T4"]
    assert "version 2 of the statement, this is version 1" in whole[0].problem
    assert site.judged(rows=first, files=site.files[:3])[0] == []
    whole, hours = site.judged()
    assert whole == []
    assert of_hours(hours) == [[], [], []]


def test_the_newest_statements_say_what_a_device_gives(site: Certified) -> None:
    from_ms = site.hour()
    deeds = [hour.deed for hour in site.judged()[1] if hour.deed]
    made = [certificate_of(Claim("issuer-1", 0, REGISTRY, 0, deed), deed) for deed in deeds]
    before = Given([site.recomputed()])
    assert [before.units(one) for one in made] == [90_000] * 4
    assert before.over_issued(Issued(one, [Slice(0, one.units, "held", HOLDER)], 0) for one in made) == []
    site.restate(from_ms, closed_ms=from_ms + 3 * QUARTER_MS)
    after = Given([site.recomputed()])
    assert [after.units(one) for one in made] == [90_000] * 3 + [0]
    (month,) = after.over_issued(Issued(one, [Slice(0, one.units, "held", HOLDER)], 0) for one in made)
    assert (month.device, month.units) == (digest(DEVICE), 90_000)
    assert civil_text(month.month_ms, 480).endswith("-01T00:00:00+08:00")
    assert month.month_ms <= from_ms < month.month_ms + 31 * 86_400_000
    assert after.units(replace(made[0], from_ms=from_ms - QUARTER_MS)) is None
    assert after.units(replace(made[0], to_ms=from_ms + 2 * QUARTER_MS)) == 180_000
    assert after.units(replace(made[0], device=digest("another"))) is None


def test_intervals_that_were_not_measured_are_refused_one_by_one(site: Certified) -> None:
    from_ms = site.begin()
    site.polls(96)
    site.polls(2, answered=False)  # at an edge
    site.polls(102)
    site.seal()
    site.second_half(from_ms)
    whole, hours = site.judged()
    assert whole == []
    assert of_hours(hours) == [["I3"], ["I3"], [], []]
    assert [hour.deed is None for hour in hours] == [True, True, False, False]


def test_an_hour_before_the_plan_was_signed_is_refused(site: Certified) -> None:
    from_ms = site.from_ms
    site.polls(80)
    site.begin(**{"from": from_ms})
    site.polls(120)
    site.seal()
    site.second_half(from_ms)
    _, hours = site.judged()
    assert of_hours(hours) == [["P2"], [], [], []]


def test_an_hour_with_an_exchange_is_refused(site: Certified) -> None:
    from_ms = site.begin()
    site.polls(50)
    site.rows.append(site.gateway.chains[METER].add(Event("meter-exchange", {})))
    at_ms = site.gateway.clock.now_ms
    site.event(
        "entry", kind="register", of=POINT, **{"from": at_ms, "to": at_ms}, unit="kWh", reason="exchange",
        user="fitter", values={"final": site.register, "initial": site.register},
    )  # fmt: skip
    site.polls(150)
    site.seal()
    site.second_half(from_ms)
    _, hours = site.judged()
    assert of_hours(hours) == [["I4", "I4"], [], [], []]


def test_a_wrap_is_no_obstacle(site: Certified) -> None:
    from_ms = site.begin()
    site.register = 99_900
    site.polls(99)
    site.polls(1, quality=int(Quality.ROLLOVER))
    site.polls(100)
    site.seal()
    site.second_half(from_ms)
    _, hours = site.judged()
    assert of_hours(hours) == [[], [], [], []]
    assert sum(hour.deed.units for hour in hours if hour.deed) == 360_000


def test_less_than_a_unit_is_nothing_to_certify(site: Certified) -> None:
    from_ms = site.begin()
    for _ in range(2):
        for _ in range(200):
            site.polls(1)
            site.register -= 1
        site.seal()
    site.stated(from_ms, 4, (0, 1))
    assert of_hours(site.judged()[1]) == [["N4"]] * 4


def test_what_the_ledgers_had_too_late_is_refused_by_the_hour(site: Certified) -> None:
    from_ms = site.begin()
    site.polls(200)
    site.gateway.behind_s = 3 * 3600  # this batch alone
    site.seal()
    site.gateway.behind_s = 0
    site.second_half(from_ms)
    _, hours = site.judged(by=delayed(3600))
    assert of_hours(hours) == [["C2"], ["C2"], ["C2"], []]
    assert "after its end; max_delay is 1 h 0 min" in hours[0].why[0].problem
    assert of_hours(site.judged()[1]) == [[], [], [], []]


def test_a_plan_that_the_ledgers_had_a_day_after_is_refused(site: Certified) -> None:
    site.gateway.behind_s = 25 * 3600
    site.begin()
    site.polls(10)
    site.seal()
    site.gateway.behind_s = 0
    from_ms = site.from_ms
    site.polls(300)
    site.seal()
    site.stated(from_ms, 2, (0, 1))
    whole, _ = site.judged(by=delayed(200_000))
    assert set(rules(whole)) == {"P2"}
    assert "the ledgers had the plan 1 d 1 h after its signing" in whole[-1].problem


def test_a_certificate_does_not_expire_before_its_hour_ends(site: Certified) -> None:
    from_ms = site.hour()
    _, hours = site.judged(expires_ms=from_ms + 3 * QUARTER_MS + 1)
    assert of_hours(hours) == [[], [], [], ["R6"]]
