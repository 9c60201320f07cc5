"""Until when a trust file counts, judged at a time."""

from __future__ import annotations

import pytest

from ledger_client.errors import TrustFileError
from ledger_client.messages import Message
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_dates import demand_in_force, expired
from ledger_client.verification.trust_file import parse_trust

MADE, EXPIRES = 1_796_083_200, 1_803_859_200
DATES = "made = 2026-12-01T00:00:00Z\nexpires = 2027-03-01T00:00:00Z\n"


def dated(dates: str = DATES) -> Trust:
    return parse_trust(f'[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n{dates}', "t.toml")


def test_a_file_counts_before_its_end_and_not_from_then_on() -> None:
    assert demand_in_force(dated(), EXPIRES - 1) == ()
    for now in (EXPIRES, EXPIRES + 10**9):
        assert expired(dated(), now)
        with pytest.raises(TrustFileError) as refused:
            demand_in_force(dated(), now)
        assert (refused.value.source, refused.value.key) == ("t.toml", "policy.expires")
        assert "meterseal-ledger trust from" in refused.value.way_out


def test_an_expired_file_may_be_taken_with_a_warning() -> None:
    warning = Message("trust-expired-accepted", expires_s=EXPIRES, made_s=MADE)
    assert demand_in_force(dated(), EXPIRES, expired_ok=True) == (warning,)
    undated = dated("expires = 2027-03-01T00:00:00Z\n")
    assert [one.code for one in demand_in_force(undated, EXPIRES, expired_ok=True)] == [
        "trust-expired-accepted-undated"
    ]
    assert demand_in_force(dated(), EXPIRES - 1, expired_ok=True) == ()


def test_a_clock_that_is_behind_is_a_warning() -> None:
    """A clock that was put back would make every file count for ever."""
    assert [one.code for one in demand_in_force(dated(), MADE - 301)] == ["trust-made-later"]
    assert demand_in_force(dated(), MADE - 300) == ()  # clocks of a ledger and a verifier are never quite alike


def test_a_file_without_dates_counts_for_ever() -> None:
    assert demand_in_force(dated(""), 10**11) == ()
