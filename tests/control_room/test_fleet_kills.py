"""A control room whose parts are killed: the short form of the campaign fleet-kills."""

from __future__ import annotations

from tests.campaigns.fleet import fleet_kills


def test_nothing_is_lost_or_doubled_by_kills_of_receivers_leaders_the_database_and_gateways() -> None:
    figures = fleet_kills.run(**fleet_kills.SMALLEST[0])
    assert figures["violations"] == []
    assert sum(figures["killed"].values()) == fleet_kills.SMALLEST[0]["kills"]
    assert figures["recorded"] == figures["stored"] == figures["proven"] > 0
