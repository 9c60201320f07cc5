"""`meterseal demo`: one command, one JSON object, books that balance, and a lost record that is noticed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.demo.balance import account, read_answers
from gateway.storage.database import Database
from tests.support.gateways.apart import apart


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A demonstration of 12 s that has ended, and its summary; one serves all test processes of a run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    shared = tmp_path_factory.getbasetemp().parent / f"demo-{run}" if run else tmp_path_factory.mktemp("demo")
    shared.mkdir(exist_ok=True)
    folder, summary_file = shared / "here", shared / "summary.json"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not summary_file.exists():
            done = apart("gateway.cli", "demo", "--dir", folder, "--for", "12s", "--json")
            assert done.code == 0, done.err + done.out
            summary_file.write_text(done.out)
    summary: dict[str, Any] = json.loads(summary_file.read_text())
    return folder, summary


def test_the_summary_says_what_happened(demonstration: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = demonstration
    assert summary["lost"] == 0
    assert summary["verified"] is True
    assert summary["due"] == summary["readings"] + summary["missed"]
    assert summary["readings"] >= 8
    assert summary["batches"] >= 2
    assert summary["receipts"] == summary["batches"]
    assert {proof["meter"] for proof in summary["proofs"]} == {"export-main", "stack-co2", "pv-inverter"}
    assert summary["pages"]["address"].startswith("http://127.0.0.1:")
    assert Path(summary["bundle"]).is_relative_to(folder)


def test_the_bundle_verifies_from_the_two_files_alone(
    demonstration: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, summary = demonstration
    shutil.copy(summary["bundle"], tmp_path / "x.mseal")
    shutil.copy(summary["trust"], tmp_path / "trust.toml")
    done = apart("ledger_client.cli", "verify", tmp_path / "x.mseal", "--trust", tmp_path / "trust.toml", "--json")
    assert done.code == 0, done.err
    assert done.facts["verified"] is True


@pytest.mark.parametrize("meter", ["export-main", "stack-co2", "pv-inverter"])
def test_one_deleted_record_is_one_lost(meter: str, demonstration: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = demonstration
    copy = tmp_path / "copy.db"
    shutil.copy(folder / "gateway" / "data" / "meterseal.db", copy)
    database = sqlite3.connect(copy)
    (victim,) = database.execute(
        "SELECT max(id) FROM records WHERE meter = ? AND kind = 'reading' AND id < (SELECT max(last_id) FROM batches)",
        (meter,),
    ).fetchone()
    with pytest.raises(sqlite3.IntegrityError, match="only pruning"):
        database.execute("DELETE FROM records WHERE id = ?", (victim,))
    database.execute("DROP TRIGGER records_leave_by_pruning")  # whoever means it can do that
    database.execute("DELETE FROM records WHERE id = ?", (victim,))
    database.commit()
    database.close()
    store = Database(copy, read_only=True)
    balances = account(store, read_answers(folder / "answers.jsonl"))
    store.close()
    assert sum(balance.lost for balance in balances.values()) == 1
    assert balances[meter].lost == 1


def test_a_reading_that_was_replaced_by_a_miss_is_lost_by_the_meters_own_log(
    demonstration: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The schedule alone would be content: the log of the meter is not, the values that it answered stand nowhere."""
    folder, _ = demonstration
    answers = read_answers(folder / "answers.jsonl")
    store = Database(folder / "gateway" / "data" / "meterseal.db", read_only=True)
    moved = [
        type(a)(a.time_ms, a.meter, {name: _other(value) for name, value in a.values.items()})
        if a is answers[len(answers) // 2]
        else a
        for a in answers
    ]
    assert sum(balance.lost for balance in account(store, moved).values()) == 1
    store.close()


def _other(value: Any) -> Any:
    return value + 1 if isinstance(value, int | float) else f"{value}1"


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = apart("gateway.cli", "demo", "--dir", tmp_path, "--for", "1s")
    assert done.code == 2
    assert "not empty" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
