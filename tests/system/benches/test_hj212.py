"""Messages that stations upload: what was acknowledged is in the database, in it once, whatever stops the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.streams import hj212


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return hj212.run(**hj212.SMALLEST[0])


@pytest.mark.parametrize("part", [None, "held_at_commit", "held_at_committed"])
def test_every_acknowledged_message_is_recorded_once(figures: dict[str, Any], part: str | None) -> None:
    books = figures if part is None else figures[part]
    assert books["packets"] >= 30
    assert (books["acknowledged"], books["not_acknowledged"]) == (books["packets"], 0)
    assert (books["acknowledged_not_in_database"], books["in_database_twice"]) == (0, 0)


def test_nothing_is_acknowledged_while_the_disk_is_held(figures: dict[str, Any]) -> None:
    for part in (figures["held_at_commit"], figures["held_at_committed"]):
        assert part["sent_held"] > 0
        assert part["acknowledged_held"] == 0
        assert part["packets_sent_again"] > 0


def test_what_was_recorded_and_not_acknowledged_is_answered_when_it_is_sent_again(figures: dict[str, Any]) -> None:
    assert figures["held_at_commit"]["recorded_not_acknowledged"] == 0
    assert figures["held_at_committed"]["recorded_not_acknowledged"] > 0


def test_a_station_that_leaks_connections_costs_no_message_and_is_named(figures: dict[str, Any]) -> None:
    leaking = figures["leaking_of_5"]
    assert leaking["stations_recorded"] == 5
    assert (leaking["not_recorded"], leaking["not_acknowledged"], leaking["in_database_twice"]) == (0, 0, 0)
    assert "limit 500" in leaking["alarm"]
    assert "stack-000" in leaking["alarm"]


def test_an_answer_takes_a_commit_and_nothing_else_is_said(figures: dict[str, Any]) -> None:
    assert figures["answer_ms_median"] < 1000, "it is committed at once, not with the next commit_every"
    assert figures["strays"] == 0
