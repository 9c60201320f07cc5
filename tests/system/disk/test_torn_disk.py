"""A disk that fails under recorder, store and real SQLite, in short; at length: ``scripts/campaign torn-disk``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.failures.torn_cases import POWER_CUT, Bench, Case, bench, every_case
from tests.campaigns.failures.torn_lies import lies
from tests.campaigns.failures.torn_stall import stalled
from tests.campaigns.failures.torn_work import GOES_ON
from tests.system.disk.torn_disk import CACHE_OF_DISK, CACHE_OF_FILE, SYNCS, Control, build, environment, roll_back

SEED = 20261125
CASES, LYING_KILLS = 25, 10
FIRST_CALLS = 21
"""Calls from a new database file to the first page in its log."""
WELL = dict.fromkeys(("not_resumed", "broken", "lost", "duplicated", "forked", "untiled"), 0)

WRITER = """
import os, sys
folder = sys.argv[1]
kept = os.open(f"{folder}/kept", os.O_RDWR | os.O_CREAT)
os.pwrite(kept, b"durable bytes", 0)
os.fsync(kept)
os.pwrite(kept, b"DURABLE", 0)
os.ftruncate(kept, 4)
os.write(kept, b"anew")
os.pwrite(kept, b"far behind", 100)
other = os.open(f"{folder}/other", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(other, b"one ")
os.writev(other, [b"two ", b"three"])
if "sync-other" in sys.argv:
    os.fdatasync(other)
os.write(other, b" four")
os.unlink(f"{folder}/removed")
if "sync-folder" in sys.argv:
    os.fsync(os.open(folder, os.O_RDONLY))
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("torn"))


@pytest.mark.parametrize(
    ("cache", "orders", "left"),
    [
        (CACHE_OF_FILE, [], {"kept": b"durable bytes", "other": b"", "removed": b"was here"}),
        (CACHE_OF_FILE, ["sync-other"], {"kept": b"durable bytes", "other": b"one two three", "removed": b"was here"}),
        (CACHE_OF_FILE, ["sync-folder"], {"kept": b"durable bytes", "other": b""}),
        (CACHE_OF_DISK, ["sync-other"], {"kept": b"anew" + bytes(96) + b"far behind", "other": b"one two three",
                                         "removed": b"was here"}),
    ],
)  # fmt: skip
def test_a_power_cut_leaves_what_the_last_honoured_syncs_made_durable(
    library: Path, tmp_path: Path, cache: int, orders: list[str], left: dict[str, bytes]
) -> None:
    folder, control, journal = tmp_path / "data", Control(tmp_path / "control"), tmp_path / "journal"
    folder.mkdir()
    (folder / "removed").write_bytes(b"was here")
    control.set(cache=cache, honour=100)
    env = environment(library, folder, control.path, journal)
    assert subprocess.run([sys.executable, "-c", WRITER, str(folder), *orders], env=env).returncode == -9
    assert roll_back(folder, journal) > 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == left
    assert roll_back(folder, journal) == 0


@pytest.fixture(scope="module")
def site(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(library, tmp_path_factory.mktemp("site") / "bench") as made:
        yield made


def test_a_database_that_cannot_keep_a_log_is_not_recorded_into(site: Bench) -> None:
    """SQLite raises nothing when the disk does not let it switch its write-ahead log on."""
    for at in range(1, FIRST_CALLS + 1):
        came, report = site.carry_out(Case("first-start", "eio", at, False, POWER_CUT))
        resumed, books = site.examine(report, 2)
        assert (came, resumed, books.lost) == (True, True, []), at


def test_a_disk_that_fails_once_at_the_end_costs_no_event(site: Bench) -> None:
    for at in range(1, site.calls("stop")[SYNCS] + 1):
        came, report = site.carry_out(Case("stop", "fsync", at, False, GOES_ON))
        resumed, books = site.examine(report, 2)
        assert (came, resumed, report.ended, len(report.events), books.lost) == (True, True, True, 2, []), at


def test_every_fault_at_any_call_leaves_good_books(library: Path, tmp_path: Path) -> None:
    figures = every_case(library, tmp_path / "cases", CASES, SEED)
    assert {what: figures[what] for what in WELL} == WELL, figures["examples"]
    assert CASES - 5 <= figures["cases"] <= CASES, "a call that came before may not come again"


def test_what_a_lying_disk_has_lost_was_not_sealed_or_is_named(library: Path, tmp_path: Path) -> None:
    figures = lies(library, tmp_path / "lies", LYING_KILLS, SEED)
    assert figures["lying_kills"] == LYING_KILLS
    assert figures["lying_changes_taken_back"]
    assert figures["lying_lost_unsealed"]
    assert figures["lying_sealed_then_lost"]
    wrong = ("broken", "untiled", "forked", "duplicated", "not_resumed", "sealed_then_lost_unnamed", "named_and_there",
             "refused", "conflicts")  # fmt: skip
    assert {what: figures[f"lying_{what}"] for what in wrong} == dict.fromkeys(wrong, 0)


def test_meters_keep_their_schedule_while_the_disk_takes_two_seconds_for_every_sync(
    library: Path, tmp_path: Path
) -> None:
    figures = stalled(library, tmp_path / "stall", seconds=3.0, period_ms=1000)
    assert figures["stall_share_of_due_polls"] >= 0.99
    assert figures["stall_share_recorded"] >= 0.99
