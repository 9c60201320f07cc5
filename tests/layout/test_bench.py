"""The benchmarks' command line, and the fieldbus-truth experiment in short over the wires that have no other test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import CAMPAIGNS, NAMES, main
from benchmarks.truth.fieldbus_truth import run
from benchmarks.truth.truth_cases import met
from benchmarks.truth.truth_lines import work

LINES, POLLS = 5, 120


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing"], "benchmarks: accounting, "),
        ([], "benchmarks: "),
        (["fieldbus-truth", "--gard", "off"], "no option --gard; options and their defaults: --polls 100000, --guard"),
        (["fieldbus-truth", "--guard", "maybe"], "--guard maybe: give one of on, off"),
        (["fieldbus-line", "--seconds=long"], "--seconds long: give a number"),
        (["pipeline", "--runs"], "--runs : give a number"),
    ],
)
def test_wrong_use_is_explained_and_nothing_runs(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert problem in capsys.readouterr().err


def test_a_campaign_is_a_benchmark_that_proves_and_no_other_is_run_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(CAMPAIGNS) < set(NAMES)
    assert main(["pipeline"], CAMPAIGNS, "scripts/campaign") == 2
    assert capsys.readouterr().err.startswith("campaigns: books, compare, crash, ")
    assert main(["crash", "--kils", "1"], CAMPAIGNS, "scripts/campaign") == 2
    assert "--kills" in capsys.readouterr().err


def test_a_campaign_needs_no_benchmark() -> None:
    """What is proved stands among the tests; only its command line is that of the benchmarks."""
    folder = Path(__file__).parents[1] / "campaigns"
    assert [path for path in folder.glob("*/*.py") if "benchmarks" in path.read_text()] == []


@pytest.mark.parametrize("wire", ["rtu-over-tcp", "converter"])
def test_no_value_is_booked_to_the_wrong_question(tmp_path: Path, wire: str) -> None:
    books = work(tmp_path, wire, range(LINES), POLLS, armed=True)
    assert [book["made"] for book in books] == [POLLS] * LINES
    assert sum(book["timeouts"] for book in books) > LINES
    assert sum(book["wrong"] for book in books) == 0
    assert sum(book["values"] for book in books) >= 0.7 * sum(book["offered"] for book in books)


@pytest.mark.parametrize("wire", ["rtu-over-tcp", "converter"])
def test_with_the_guard_off_they_are(tmp_path: Path, wire: str) -> None:
    assert sum(book["wrong"] for book in work(tmp_path, wire, range(LINES), POLLS, armed=False)) > 0


def test_a_case_prints_what_was_wrong_who_was_named_and_what_was_recorded() -> None:
    cases = run(case="damaged-echoes", seconds=1.5, lines=2, period_ms=500)["cases"]
    assert isinstance(cases, dict)
    figures = cases["damaged-echoes"]
    assert figures["polls"] >= 6
    assert figures["values"] > 0
    assert (figures["wrong"], figures["strangers"]) == (0, 0)
    assert 0 < figures["recorded"] <= 1
    assert figures["target"] == {"wrong": 0, "strangers": 0, "recorded": 0.99}
    assert met({"wrong": 0, "strangers": 0, "recorded": 0.99}, figures["target"])
    assert not met({"wrong": 0, "strangers": 1, "recorded": 1.0}, figures["target"])
    assert not met({"wrong": 0, "strangers": 0, "recorded": 0.98}, figures["target"])
