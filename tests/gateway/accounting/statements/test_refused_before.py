"""What was signed before the rules refused it stops no publishing and no stating: it counts for nothing (P9, M6)."""

from __future__ import annotations

from pathlib import Path

from gateway.accounting.plans.history import history_of
from gateway.accounting.statements.keeper import Keeper
from gateway.accounting.statements.stating import make, parts
from gateway.records import GATEWAY
from tests.support.stated import QUARTER_MS, Site, plan_fields


def test_a_plan_and_entries_that_are_refused_now_count_for_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    fields = plan_fields(site.from_ms)
    of = {"of": "station", "from": site.from_ms, "to": site.from_ms + QUARTER_MS, "reason": "r", "user": "u"}
    refused = {"station": fields["nodes"]["station"] | {"defaults": {"OF": 2}}}
    site.event(GATEWAY, "plan", **(fields | {"nodes": refused}))
    site.event(GATEWAY, "plan", **fields)
    site.event(GATEWAY, "entry", kind="settlement", **of, values={"value": 90}, unit="kg")
    site.event(GATEWAY, "entry", kind="lab", **of, values={"FC": 1})
    site.event(GATEWAY, "entry", kind="guess")
    site.polls(90 * 3)
    site.hands.journal.flush()
    history = history_of(site.hands.store)
    assert [one.name for one in history.refused] == ["plan", "entry"]
    assert "defaults.OF: it is 2, not a share above 0 and up to 1 (M6)" in str(history.notes[0])
    (part,) = parts(history, "main", site.from_ms, site.from_ms + QUARTER_MS)
    statement = make(site.hands.store, history, part, tmp_path, None).statement
    assert (statement.fields["findings"], len(statement.fields["entries"])) == ({"entry": 2}, 2)
    assert [note for note in statement.notes if "counts for nothing" in note] == list(statement.notes)
    known = Keeper(site.loaded.database, lambda: site.machine.wall_ms).read()
    assert (known.problem, known.history.names) == (None, ["main"])
    site.stop()
