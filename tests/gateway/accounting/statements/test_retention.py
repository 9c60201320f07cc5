"""Pruning waits for the statements of plans and for the export, and goes on behind both (T6). Real databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.accounting.plans.history import history_of
from gateway.accounting.statements.keeper import Keeper
from gateway.accounting.statements.needed import needs_of
from gateway.accounting.statements.retention import Retention
from gateway.accounting.statements.stating import make, parts
from gateway.alarms.accounting_checks import AccountingChecks
from gateway.cli.app import main
from gateway.doctor.check import CheckContext
from gateway.doctor.database import horizon as doctors_horizon
from gateway.records import GATEWAY
from gateway.status.collect import collect
from gateway.storage.capacity import exported
from gateway.storage.capacity.forecast import horizon
from gateway.storage.capacity.pruning import prune
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.verification.trust_text import key_entry
from tests.support.samples import START_S, settle
from tests.support.stated import QUARTER_MS, Site, plan_fields
from tests.system.demo_site import until

LEDGER = PrivateKey.generate()
DAY_MS = 86_400_000
PAUSE = 27 * 360  # polls
FAR_MS = 1 << 60


@pytest.fixture
def month(tmp_path: Path) -> Site:
    """An hour of registers, a pause of 27 hours, and half an hour behind it, all of it in batches with receipts."""
    return two_days(tmp_path, planned=True)


def two_days(folder: Path, *, planned: bool) -> Site:
    found = Site(folder / "site", began_ms=START_S * 1000)
    with found.loaded.trust.open("a") as file:
        file.write(key_entry("ledger", LEDGER.public, 1_700_000_000, ledger="demo-ledger"))
    if planned:
        found.publish()
    found.polls(90 * 4)
    found.passes(PAUSE)
    found.polls(180)
    found.hands.journal.flush()
    store = found.hands.store
    settle(store, [batch.batch for batch in store.batches.all()], LEDGER)
    return found


def pruned(site: Site) -> int:
    """How many batches a pruning takes that has nothing to wait for but statements and export."""
    waits, store = Retention().waits, site.hands.store
    before = len(store.batches.all())
    while prune(store, ["demo-ledger"], FAR_MS, waits):
        pass
    return before - len(store.batches.all())


def state(site: Site) -> None:
    """Sign the statement of all that has passed, but for the last quarter."""
    store = site.hands.store
    history = history_of(store)
    end_ms = (site.machine.wall_ms // QUARTER_MS - 1) * QUARTER_MS
    (part,) = parts(history, "main", site.from_ms, end_ms)
    made = make(store, history, part, site.loaded.data / "statements", None)
    assert "open" not in made.statement.fields["findings"]
    site.event(GATEWAY, "period", **made.statement.fields)
    site.hands.journal.flush()


def export(site: Site, *words: str) -> dict[str, object]:
    done = CliRunner().invoke(main, ["export", str(site.loaded.path), *words, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def why(site: Site) -> str:
    store = site.hands.store
    first = store.batches.first()
    assert first is not None
    waits = Retention().waits(store, first)
    return "" if waits is None else str(waits)


def test_without_a_plan_pruning_waits_for_nothing(tmp_path: Path) -> None:
    site = two_days(tmp_path, planned=False)
    count = len(site.hands.store.batches.all())
    assert why(site) == ""
    assert pruned(site) == count - 1 > 60
    site.stop()


def test_pruning_waits_for_the_statement_and_then_for_the_export_and_goes_on(month: Site, tmp_path: Path) -> None:
    assert pruned(month) == 0
    assert "plan main measures from 2027-01-15T08:00:00" in why(month)
    assert "is not stated" in why(month)
    state(month)
    assert pruned(month) == 0
    assert "batch 0, sealed 2027-01-15T08:00:00" in why(month)
    assert "is not exported" in why(month)
    export(month, "--batch", "0", "-o", str(tmp_path / "first.mbatch"))
    assert pruned(month) == 1
    assert "batch 1, " in why(month)
    export(month, "-o", str(tmp_path / "all"))
    gone = pruned(month)
    assert gone > 50  # the hour before the pause
    assert "is not stated" in why(month)  # what the next statement reads stays
    history = history_of(month.hands.store)
    (part,) = parts(history, "main", month.machine.wall_ms // QUARTER_MS * QUARTER_MS - QUARTER_MS, month_end(month))
    assert make(month.hands.store, history, part, month.loaded.data / "statements", None).choice.before is not None
    month.stop()


def month_end(site: Site) -> int:
    """Where the next statement ends; its coverage is made first."""
    site.polls(30)
    return site.machine.wall_ms // QUARTER_MS * QUARTER_MS


def test_where_a_node_was_open_all_stays_that_the_statement_before_has_read(month: Site, tmp_path: Path) -> None:
    state(month)
    export(month, "-o", str(tmp_path / "all"))
    history = history_of(month.hands.store)
    fields = dict(history.periods[0].fields) | {"findings": {"open": 1}}
    history.periods[0] = replace(history.periods[0], fields=fields)
    (need,) = needs_of(history)
    assert need.first == history.periods[0].fields["batches"][0][0] == 0
    assert need.is_read(0, month.from_ms)
    month.stop()


def test_a_plan_whose_nodes_are_closed_needs_no_statement(month: Site, tmp_path: Path) -> None:
    closing = {"kind": "closure", "of": "station", "reason": "taken down", "user": "an owner"}
    time_ms = month.from_ms
    month.event(GATEWAY, "entry", **closing, **{"from": time_ms, "to": time_ms, "values": {}})
    month.hands.journal.flush()
    assert history_of(month.hands.store).unstated_ms("main") is None
    assert "is not exported" in why(month)
    export(month, "-o", str(tmp_path / "all"))
    assert pruned(month) > 60
    month.stop()


def test_status_doctor_and_forecast_say_why_pruning_waits_and_how_long_there_is_room(month: Site) -> None:
    store, now_ms = month.hands.store, month.machine.wall_ms + 91 * DAY_MS
    ahead = horizon(month.loaded, store, now_ms, Retention().waits, running=False)
    assert not ahead.for_ever
    assert "left at this rate" in ahead.text
    assert "pruning waits: what plan main measures" in ahead.text
    status = collect(month.loaded, store, now_ms).forecast
    assert status is not None
    assert "pruning waits" in status.text
    case = CheckContext(month.loaded, now_ms, None, store, None, None, None)
    (finding,) = doctors_horizon(case)
    assert "pruning waits" in str(finding.message)
    young = horizon(month.loaded, store, month.machine.wall_ms, Retention().waits, running=False)
    assert young.for_ever, "nothing is old enough yet"
    month.stop()


def test_where_a_plan_cannot_be_read_pruning_waits_and_says_so(tmp_path: Path) -> None:
    site = two_days(tmp_path, planned=False)
    site.event(GATEWAY, "plan", **(plan_fields(site.from_ms) | {"rules": "accounting-9"}))
    site.hands.journal.flush()
    assert "a signed plan, entry or statement cannot be read" in why(site)
    assert pruned(site) == 0
    known = Keeper(site.loaded.database, lambda: site.machine.wall_ms).read()
    assert set(AccountingChecks().run(site.loaded, known, site.machine.wall_ms).alarms) == {"export-overdue"}
    site.stop()


def test_an_export_that_cannot_be_noted_keeps_its_files_and_says_so(month: Site, tmp_path: Path) -> None:
    (month.loaded.data / exported.NAME).mkdir()
    answer = export(month, "-o", str(tmp_path / "all"))
    assert isinstance(answer["written"], list)
    assert len(answer["written"]) == len(month.hands.store.batches.all())
    assert "pruning waits for batches of a plan until their export is noted" in str(answer["not_noted"])
    month.stop()


def test_a_note_of_another_database_says_nothing_and_an_unreadable_one_nothing_at_all(
    month: Site, tmp_path: Path
) -> None:
    store, note = month.hands.store, month.loaded.data / exported.NAME
    export(month, "-o", str(tmp_path / "all"))
    (whole,) = exported.noted(store)
    assert (whole.first, whole.last) == (0, len(store.batches.all()) - 1)
    note.write_text(json.dumps([[0, 5, "00" * 32]]))
    assert exported.noted(store) == []
    for broken in ("", "[[0", '{"a": 1}', "[[0, 1]]", "[7]", '[[0, 1, "x"]]'):
        note.write_text(broken)
        assert exported.noted(store) == []
    assert export(month, "-o", str(tmp_path / "all")) == {"written": [], "not_noted": []}
    assert exported.noted(store) == [whole]  # the files are there: they are noted again
    month.stop()


def test_a_file_that_is_not_the_batch_counts_for_nothing(month: Site, tmp_path: Path) -> None:
    out = tmp_path / "all"
    export(month, "-o", str(out))
    (month.loaded.data / exported.NAME).unlink()
    files = sorted(out.glob("*.mbatch"))
    files[1].write_bytes(files[2].read_bytes())
    files[3].write_bytes(b"torn")
    not_noted = export(month, "-o", str(out))["not_noted"]
    assert isinstance(not_noted, list)
    assert ["another statement" in text for text in not_noted] == [True, False]
    ranges = [(each.first, each.last) for each in exported.noted(month.hands.store)]
    assert ranges == [(0, 0), (2, 2), (4, len(files) - 1)]
    month.stop()


def test_an_export_that_is_killed_before_its_note_is_noted_by_the_next(month: Site, tmp_path: Path) -> None:
    state(month)
    words = [sys.executable, "-m", "gateway.cli", "export", str(month.loaded.path), "-o", str(tmp_path / "all")]
    flag = tmp_path / "held"
    env = {**os.environ, "METERSEAL_HOLD": f"exported:1:{flag}"}
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as killed:
        until("the export to have its files", lambda: flag.exists() or killed.poll() is not None)
        killed.send_signal(signal.SIGKILL)
    store = Database(month.loaded.database, read_only=True)
    assert len(list((tmp_path / "all").glob("*.mbatch"))) == len(store.batches.all())
    store.close()
    assert pruned(month) == 0
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert pruned(month) > 50
    month.stop()
