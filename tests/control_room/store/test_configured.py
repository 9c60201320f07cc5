"""What a gateway's signed configuration says of its meters, and its clock, outlive their records; an older one changes
nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from control_room.judged import Judged
from control_room.store.connection import Database
from control_room.store.incoming.portions import store
from control_room.store.meters import meter_of
from ledger_client.formats.record import Event
from tests.control_room.made import T0_MS, readings, record


def announced(seq: int, time_ms: int, meters: Any) -> Judged:
    event = Event("configuration", {"at": "start", "part": [1, 1], "meters": meters})
    return Judged(records=(record(seq, event, meter="gateway", time_ms=time_ms),))


def test_the_newest_configuration_counts_whatever_comes_last(db: Database) -> None:
    facts = {"role": "generation", "period": 10_000, "profile": "demo", "key": b"kid"}
    store(db, [announced(2, T0_MS + 2000, {"m": facts | {"reversed": True}, "later": facts})], T0_MS)
    store(db, [announced(1, T0_MS, {"m": facts | {"period": 60_000}}), readings([1])], T0_MS)
    found, later = meter_of(db, "g", "m"), meter_of(db, "g", "later")
    assert found is not None
    assert later is not None
    assert found.configured == {"role": "generation", "period": 10_000, "profile": "demo", "reversed": True}
    assert (later.configured, later.newest_ms) == ({key: facts[key] for key in ("role", "period", "profile")}, None)
    assert db.one("SELECT clock FROM gateways") == ("S",)


@pytest.mark.parametrize(
    "meters", ["x", [], {"m": 1}, {"a/b": {"role": "x"}}, {"m": {"role": 7, "period": True, "profile": "a\nb"}}]
)
def test_a_signed_configuration_may_say_anything(db: Database, meters: Any) -> None:
    store(db, [announced(1, T0_MS, meters), readings([1])], T0_MS)
    found = meter_of(db, "g", "m")
    assert found is not None
    assert not found.configured
