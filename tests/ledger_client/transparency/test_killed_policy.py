"""SIGKILL within enrolling, revoking and registering, in short: file, log and what is applied stay one policy."""

from __future__ import annotations

from tests.campaigns.ledgers.ledger_kills import SMALLEST, run


def test_no_kill_parts_file_log_and_what_is_applied() -> None:
    figures = run(**SMALLEST[0])
    assert figures["violations"] == []
    assert figures["kills"] == 20
    kinds = {name.partition(",")[0] for name in figures if ", " in name}
    assert kinds == {"enroll", "revoke", "register"}
