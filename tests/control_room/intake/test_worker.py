"""What becomes of a portion, by what the database says to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from control_room.errors import DatabaseAway, DatabaseBusy, DatabaseError, Unstorable
from control_room.intake.pull import Delivered
from control_room.intake.worker import GIVE_BACK_S, Taken, Worker
from control_room.judged import Gone, Judged, Stored
from gateway.messages.message import Message

SAYS = Message("control-database-error", where="here", error="no")


class Table:
    """What a database keeps of portions; ``fails`` says what it raises of one, ``waited`` how long was waited."""

    def __init__(self, fails: dict[int, Exception | list[Exception | None]]) -> None:
        self.fails = fails
        self.stored: list[int] = []
        self.refused: list[int] = []
        self.done: list[int] = []
        self.given_back: list[tuple[int, float]] = []
        self.troubles: list[str | None] = []
        self.waited: list[float] = []
        self.worker = Worker(
            500, lambda topic, data: Judged(), self.store, done=self.done.extend,
            give_back=lambda place, delay: self.given_back.append((place, delay)),
            trouble=lambda message: self.troubles.append(None if message is None else message.code),
            between=lambda: False, monotonic=lambda: 0.0, wait=self.waited.append,
        )  # fmt: skip

    def store(self, portion: Sequence[Taken]) -> Stored:
        """All of a portion, or nothing."""
        for taken in portion:
            error = self.fails.get(taken.delivered.place)
            if isinstance(error, list):
                error = error.pop(0) if error else None
            if error is not None and not taken.judged.refusals:
                raise error
        for taken in portion:
            (self.refused if taken.judged.refusals else self.stored).append(taken.delivered.place)
        return Stored()

    def take(self, count: int) -> None:
        """A portion of so many messages, by their places."""
        gone = Judged(gone=(Gone("g", "lost", (), ()),))
        self.worker.store(
            [Taken(Delivered(n, n, "$MQTT.msgs.meterseal-records.v1.g.records", b""), gone) for n in range(count)]
        )


def test_what_the_database_refuses_is_found_by_halving_and_refused_alone() -> None:
    table = Table({3: Unstorable(SAYS), 6: Unstorable(SAYS)})
    table.take(8)
    assert (table.stored, table.refused) == ([0, 1, 2, 4, 5, 7], [3, 6])
    assert sorted(table.done) == list(range(8))
    assert (table.given_back, table.waited) == ([], [])


def test_while_it_is_away_the_portion_waits_whole() -> None:
    table = Table({1: [DatabaseAway(SAYS)] * 7})
    table.take(4)
    assert table.stored == table.done == [0, 1, 2, 3]
    assert len(table.waited) == 7
    assert table.troubles == ["control-portion-fails"] * 7 + [None]


@pytest.mark.parametrize("error", [DatabaseBusy(SAYS), DatabaseError(SAYS), ValueError("a mistake of ours")])
def test_a_message_that_always_fails_is_given_back_and_costs_no_other(error: Exception) -> None:
    table = Table({2: error})
    table.take(4)
    assert sorted(table.stored) == sorted(table.done) == [0, 1, 3]
    assert table.given_back == [(2, GIVE_BACK_S)]
    assert table.refused == []


def test_what_is_busy_for_a_moment_stays_whole() -> None:
    table = Table({0: [DatabaseBusy(SAYS), DatabaseBusy(SAYS)]})
    table.take(3)
    assert table.stored == table.done == [0, 1, 2]
    assert table.given_back == []
