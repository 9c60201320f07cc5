"""SIGKILL within enrolling, revoking and registering, in short: file, log and what is applied stay one policy."""

from __future__ import annotations

from collections.abc import Mapping

from tests.campaigns.ledgers.ledger_kills import SMALLEST, run


def kinds(figures: Mapping[str, object]) -> set[str]:
    return {name.partition(",")[0] for name in figures if ", " in name}


def test_no_kill_parts_file_log_and_what_is_applied() -> None:
    figures = run(**SMALLEST[0])
    assert figures["violations"] == []
    assert figures["kills"] == 20
    assert kinds(figures) == {"enroll", "revoke", "register"}


def test_nor_does_one_of_the_database() -> None:
    figures = run(12, 7, "postgresql")
    assert figures["violations"] == []
    assert kinds(figures) == {"enroll", "revoke", "register"}
    assert any(name.endswith("database killed") for name in figures)
