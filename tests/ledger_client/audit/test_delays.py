"""Audits of delays: how long records were held back, also where the clock was unknown, and a clock that lags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.audit.result import Audit
from ledger_client.audit.run import audit
from ledger_client.recording_grid import due_by
from tests.support.audit_batches import Gateway, audited, findings, proof_of, trusted
from tests.support.evidence import NOW

DAY_S = 86_400
LATEST = 10


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def ten_days_off(gateway: Gateway, *, dated: bool) -> list[Path]:
    """It is off for ten days, starts without a clock, and a batch is anchored before the clock is right, if ever."""
    paths, off_ms = [gateway.write()], 10 * DAY_S * 1000
    before = {meter: (list(chain.grids), chain.covered_to_ms or 0) for meter, chain in gateway.chains.items()}
    rows = gateway.restart(1, stopped_ms=off_ms, letter="U", jump_ms=500 - off_ms)
    gateway.behind_s = off_ms // 1000
    paths.append(gateway.write([*rows, *gateway.usual()]))
    if not dated:
        return [*paths, gateway.write()]
    jump_ms = off_ms - 500
    began_ms = gateway.clock.now_ms + jump_ms - gateway.clock.up_ms
    stopped = {m: due_by(grids, from_ms, began_ms) for m, (grids, from_ms) in before.items()}
    rows = gateway.correct(jump_ms, began=began_ms, stopped=stopped)
    gateway.clock.letter, gateway.behind_s = "S", 0
    return [*paths, gateway.write([*rows, *gateway.usual()]), gateway.write()]


def within(paths: list[Path], max_delay_s: int) -> Audit:
    """The audit of these files a month later."""
    return audit(paths, replace(trusted(), max_delay_s=max_delay_s), NOW + 30 * DAY_S)


def test_records_without_a_clock_count_from_the_event_that_dates_their_epoch(gateway: Gateway) -> None:
    paths = ten_days_off(gateway, dated=True)
    paths.append(proof_of(paths[1], "configuration"))  # is dated likewise
    assert findings(within(paths, 8 * DAY_S)) == []
    (late,) = (finding for finding in within(paths, 41).findings if finding.batch == 1)
    assert late.step == "validity"
    assert "held back for 42.0 s: of 2026-" in late.detail
    assert "by the clock event that dates its epoch" in late.detail


def test_a_clock_that_nothing_dates_hides_no_more_than_the_policy_allows(gateway: Gateway) -> None:
    paths = ten_days_off(gateway, dated=False)
    result = within(paths, 8 * DAY_S)
    assert findings(result) == [(batch, None, "validity") for batch in (1, 2)]
    assert "by an unknown clock" in result.findings[0].detail
    assert "raise it if the ledgers were away for so long" in result.findings[0].detail


@pytest.mark.parametrize(("lags_s", "quick", "noted"), [(298, 0, False), (299, 0, True), (4000, 1, False)])
def test_a_clock_that_lags_is_noted_by_the_least_of_the_last_batches(
    gateway: Gateway, lags_s: int, quick: int, noted: bool
) -> None:
    paths = []
    for number in range(LATEST + 1):
        gateway.behind_s = 0 if number <= quick else lags_s  # the first is not among the last
        paths.append(gateway.write())
    result = audited(*paths)
    assert findings(result) == []
    assert any("the last 10 batches were each on the ledgers" in note for note in result.notes) == noted
