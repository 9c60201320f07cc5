"""A gateway is well only where everything of it is here and proven; all else has a reason and a next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_room.store.connection import Database
from control_room.web import fleet
from control_room.web.findings import Level, findings, level_of
from tests.control_room.web.fleet_site import HOUR, MINUTE, NOW_MS, alarm, batch, gateway, refusal

Change = Callable[[Database, int], object]


def moved(column: str, to_ms: int) -> Change:
    return lambda db, of: db.run(
        f"UPDATE gateways SET {column} = to_timestamp(%s / 1000.0) WHERE id = %s",
        to_ms,
        of,
    )


def changed(sql: Any) -> Change:
    return lambda db, of: db.run(sql, of)


def hole(db: Database, of: int) -> None:
    db.run(
        "INSERT INTO holes (gateway, batches, since, next_ask) VALUES (%s, '{[7,9)}', now(), now())",
        of,
    )


CHANGES: dict[str, tuple[Level, Change]] = {
    "control-gateway-away": (Level.BAD, moved("heard", NOW_MS - 4 * MINUTE)),
    "control-gateway-quiet": (Level.BAD, moved("newest", NOW_MS - HOUR)),
    "control-gateway-ahead": (Level.BAD, moved("newest", NOW_MS + 3650 * 24 * HOUR)),
    "control-gateway-no-record": (Level.BAD, changed("UPDATE gateways SET newest = NULL WHERE id = %s")),
    "control-gateway-offline": (
        Level.BAD,
        changed("""UPDATE gateways SET status = '{"online":false}' WHERE id = %s"""),
    ),
    "control-gateway-forked": (Level.BAD, changed("UPDATE gateways SET forked = 1 WHERE id = %s")),
    "control-gateway-holes": (Level.BAD, hole),
    "control-gateway-refused": (Level.BAD, lambda db, of: refusal(db, "pv-01")),
    "control-gateway-alarms": (Level.BAD, lambda db, of: alarm(db, of, "database-damaged")),
    "control-gateway-warnings": (Level.WARN, lambda db, of: alarm(db, of, "interval")),
    "control-gateway-late": (Level.BAD, lambda db, of: batch(db, of, 2, NOW_MS - 2 * HOUR, "complete")),
    "control-gateway-none-proven": (Level.WARN, changed("UPDATE gateways SET proven = NULL WHERE id = %s")),
    "control-gateway-not-proven": (
        Level.BAD,
        changed("UPDATE gateways SET proven = proven - interval '2 h' WHERE id = %s"),
    ),
    "control-gateway-polls": (Level.WARN, changed("UPDATE days SET recorded = 99 WHERE gateway = %s")),
    "control-gateway-no-coverage": (Level.WAIT, changed("DELETE FROM days WHERE gateway = %s")),
    "control-gateway-clock": (Level.WARN, changed("UPDATE gateways SET clock = 'U' WHERE id = %s")),
    "control-gateway-no-status": (
        Level.WAIT,
        changed("UPDATE gateways SET status = NULL, status_at = NULL WHERE id = %s"),
    ),
}


def test_well_is_only_who_is_proven_and_each_finding_says_what_to_do(db: Database) -> None:
    of = gateway(db, "pv-01")
    batch(db, of, 3, NOW_MS - MINUTE, "open")  # on its way
    well = fleet.gateway(db, {"pv-01"}, "pv-01", NOW_MS)
    assert well is not None
    assert (level_of(well, NOW_MS), findings(well, NOW_MS)) == (Level.GOOD, [])
    seen = {}
    for code, (_, change) in CHANGES.items():
        with db.connection.transaction(force_rollback=True):
            change(db, of)
            one = fleet.gateway(db, {"pv-01"}, "pv-01", NOW_MS)
            assert one is not None
            (found,) = findings(one, NOW_MS)
            assert found.message.way_out, code
            seen[found.message.code] = level_of(one, NOW_MS)
    assert seen == {code: level for code, (level, _) in CHANGES.items()}


def test_what_was_refused_makes_a_gateway_red_for_a_day(db: Database) -> None:
    gateway(db, "pv-01")
    refusal(db, "pv-01")
    levels = []
    for _ in range(2):
        one = fleet.gateway(db, {"pv-01"}, "pv-01", NOW_MS)
        assert one is not None
        levels.append((level_of(one, NOW_MS), one.row.refused))
        db.run("UPDATE refused SET at = at - interval '24 h'")
    assert levels == [(Level.BAD, 1), (Level.GOOD, 1)]


def test_a_gateway_that_was_never_heard_and_one_that_is_not_in_the_trust_file(db: Database) -> None:
    gateway(db, "unlisted")
    gateway(db, "well")
    found = fleet.fleet(db, {"well", "never"}, NOW_MS)
    assert {one.name: level_of(one, NOW_MS) for one in found.gateways} == {
        "never": Level.BAD,
        "unlisted": Level.WARN,
        "well": Level.GOOD,
    }
    never = next(one for one in found.gateways if one.name == "never")
    assert (never.row.newest_ms, never.row.due, never.version, never.clock) == (None, None, None, None)
