"""Energies of a published plan: the same figures as the page Energy, and what they lack."""

from __future__ import annotations

# not quick: a gateway that states a period
import time
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from gateway.accounting.statements.stated import StatedRows
from gateway.accounting.statements.stating import FOLDER
from gateway.dashboard.figures.choice import DAY, Choice
from gateway.dashboard.figures.figures_page import ENERGY, figures
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from gateway.totals.accounts import accounts, hours_of_node
from gateway.totals.as_json import totals_json
from gateway.totals.at_rest import totals_at_rest
from gateway.totals.flows import Lack
from tests.gateway.dashboard.figures.plant import CIVIL_MIN, PagesPlant
from tests.system.demo_site import until


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A plan of a station whose first four quarters are stated, and what it says of its day."""
    plant = PagesPlant(tmp_path_factory.mktemp("accounts"), int(time.time() * 1000))
    plant.run()
    found: dict[str, Any] = {}

    def look(site: GatewayContext) -> None:
        site.keeper.look()
        known = until("the accounting", lambda: (now := site.keeper.wait(5.0)).at_ms and not now.reading and now)
        now_ms, rows = site.clock.now_ms(), StatedRows(site.config.data / FOLDER)
        store = Database(site.config.database, read_only=True)
        (signed,) = known.history.plans
        found["account"] = next(accounts(known, rows, now_ms, plant.day))
        found["page"] = figures(known, rows, store, ENERGY, Choice(DAY, date.fromisoformat(plant.day)), now_ms)
        node = next(node.name for node in signed.plan.nodes.values() if node.role == "production")
        found["hours"] = hours_of_node(known, rows, signed, node, found["account"].periods[plant.day])
        (site.config.data / FOLDER).rename(site.config.data / "moved")
        found["without rows"] = next(accounts(known, StatedRows(site.config.data / FOLDER), now_ms, plant.day))
        (site.config.data / "moved").rename(site.config.data / FOLDER)
        found["json"] = totals_json("g", "UTC", totals_at_rest(site.config, store, now_ms, plant.day))
        store.close()

    plant.with_pages(look)
    return found | {"day": plant.day, "from_ms": plant.from_ms, "node": "station"}


def test_a_flow_of_a_plan_is_what_the_page_energy_shows(seen: dict[str, Any]) -> None:
    account, day = seen["account"], seen["day"]
    (node,) = [one for plan in seen["page"].plans for one in plan.nodes if one.role == "production"]
    (line,) = [line for line in node.lines if (line.from_ms, line.to_ms) == account.periods[day]]
    flow = account.flows[day]["generation"]
    assert flow.amount == Fraction(line.total, 1000) > 0
    assert [(s, None if a is None else 1000 * a) for s, a in flow.statuses] == [(s.status, s.amount) for s in line.sums]
    assert {status for status, _ in flow.statuses} >= {"measured", "split", "bridged", "unknown", "unallocated"}
    assert account.civil_min == CIVIL_MIN
    assert account.periods[day][1] - account.periods[day][0] == 86_400_000


def test_an_account_that_begins_within_the_day_is_not_whole(seen: dict[str, Any]) -> None:
    flow = seen["account"].flows[seen["day"]]["generation"]
    (lack,) = flow.missing
    assert (flow.complete, flow.known, flow.of) == (False, 0, 1)
    assert lack == Lack(lack.of, "no-row", seen["account"].periods[seen["day"]][0])
    gone = seen["without rows"].flows[seen["day"]]["generation"]
    assert (gone.amount, [one.why for one in gone.missing]) == (None, ["gone"]), "never the sum of what is left"


def test_hours_of_a_node_are_in_order_and_stated_ones_stand_first(seen: dict[str, Any]) -> None:
    hours = seen["hours"]
    assert hours[0].from_ms == seen["from_ms"]
    assert [hour.from_ms for hour in hours] == sorted(hour.from_ms for hour in hours)
    assert all(one.to_ms <= other.from_ms for one, other in pairwise(hours))


def test_the_command_says_that_they_are_accounts(seen: dict[str, Any]) -> None:
    energy = seen["json"]["energy"]
    (plan,) = energy["plans"]
    assert (energy["source"], plan["civil_minutes"]) == ("accounts", CIVIL_MIN)
    flow = plan["periods"][seen["day"]]["flows"]["generation"]
    assert flow["energy_wh"] == float(seen["account"].flows[seen["day"]]["generation"].amount)
    assert flow["statuses"]["unknown"] is None or flow["statuses"]["unknown"] >= 0
