"""State of a record: live, recorded, sealed, anchored, not recorded, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gateway.standing import is_late
from gateway.storage.database import Database

Word = Literal["live", "recorded", "sealed", "anchored", "not-recorded", "elsewhere"]


@dataclass(frozen=True, slots=True)
class State:
    """``live``: a meter's newest reading, signed and on the disk, in no batch yet; ``recorded``: the same of an older
    one; ``sealed``: it is in ``batch``; ``anchored``: and ``ledgers`` have settled that; ``elsewhere``: in a batch that
    this database does not hold. ``reason``: why a value is not recorded."""

    word: Word
    batch: int | None = None
    ledgers: tuple[str, ...] = ()
    reason: str | None = None


RECORDED = State("recorded")


def newest(state: State, age_ms: int, every_ms: int) -> State:
    """The state of a meter's newest reading: live, if it is in no batch yet and not late."""
    live = state.word == "recorded" and not is_late(age_ms, every_ms)
    return replace(state, word="live") if live else state


class States:
    """The states of records, looked up in one database; what was looked up once is not asked again."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._sealed_to = store.batches.sealed_to()
        self._batches: dict[int, State] = {}

    def of(self, meter: str, epoch: bytes, seq: int) -> State:
        """The state of a record by its name."""
        place = self._store.records.place(meter, epoch, seq)
        return RECORDED if place is None else self.at(place)

    def at(self, place: int) -> State:
        """The state of the record at a place of the commit order."""
        if self._store.elsewhere.statement_of(place) is not None:
            return State("elsewhere")
        batch = self._store.batches.holding(place) if place <= self._sealed_to else None
        return self.of_batch(batch.batch) if batch else RECORDED

    def of_batch(self, number: int) -> State:
        """The state of every record of a batch."""
        if number not in self._batches:
            settled = tuple(a.ledger for a in self._store.anchors.of(number) if a.state == "settled")
            self._batches[number] = State("anchored" if settled else "sealed", number, settled)
        return self._batches[number]
