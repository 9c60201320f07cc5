"""`meterseal demo --month`: what its plants do, and a few hours of it from plan to recomputed statement."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.cli.demo.history import HistoryMaker
from gateway.cli.demo.month import last_month
from gateway.cli.demo.plants import SHOWN, Plants, Story
from tests.support.samples import START_S, site

MONTH_MIN, SHORT_MIN = 31 * 1440, 480


def test_a_few_hours_are_stated_and_recomputed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gateway.cli", "demo", "--month", "--for", "8h", "--json", "--dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"]
    assert found["i8"]
    assert found["findings"] == {}
    assert {(one["node"], one["status"]): one["intervals"] for one in found["nodes"]} == {
        ("hydro", "measured"): 8,
        ("factory", "measured"): 5,
        ("factory", "bridged"): 1,
        ("factory", "unallocated"): 1,
        ("factory-co2", "unallocated"): 1,
        ("unit-co2", "valid"): 4,
        ("unit-co2", "stopped"): 2,
        ("unit-co2", "missing"): 2,
        ("unit-co2", "substituted"): 2,
        ("unit-co2-by-fuel", "measured"): 1,
    }
    assert all(path.name.startswith("demo-") for path in Path(found["evidence"]).iterdir())
    again = [sys.executable, "-m", "gateway.cli", "demo", "--month", "--dir", str(folder)]
    assert subprocess.run(again, capture_output=True).returncode == 2


@pytest.mark.parametrize("minutes", [MONTH_MIN, SHORT_MIN])
def test_all_of_the_story_happens(minutes: int) -> None:
    story = Story.of(minutes)
    plants = Plants(story)
    hydro = [plants.hydro_kwh(minute) for minute in range(minutes)]
    falls = [(before, after) for before, after in pairwise(hydro) if after < before]
    assert len(falls) == 1
    assert falls[0][0] > SHOWN - 100
    ends = (story.silent, story.failed, story.stopped, story.exchanged)
    assert all(stretch.end + 30 <= minutes for stretch in ends)
    coal = {plants.coal_kg(minute) for minute in range(story.stopped.begin, story.stopped.end)}
    assert len(coal) == 1
    assert plants.shown(story.silent.begin)["factory"] is None
    failed = plants.shown(story.failed.begin)["unit"]
    assert failed is not None
    assert failed["co2"] is None
    assert failed["flow"]


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        ("2026-11-27T12:00:00+08:00", "2026-10-01T00:00:00+08:00"),
        ("2026-11-01T12:00:00+08:00", "2026-08-01T00:00:00+08:00"),
        ("2026-03-15T12:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        ("2026-01-15T12:00:00+08:00", "2025-12-01T00:00:00+08:00"),
    ],
)
def test_the_month_has_31_days_and_has_been_over_for_a_day(now: str, begins: str) -> None:
    from_ms, to_ms = last_month(int(datetime.fromisoformat(now).timestamp() * 1000))
    assert from_ms == int(datetime.fromisoformat(begins).timestamp() * 1000)
    assert to_ms - from_ms == MONTH_MIN * 60_000


def test_no_other_gateway_signs_what_has_not_happened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test-gateway"):
        HistoryMaker(site(tmp_path), START_S * 1000)
