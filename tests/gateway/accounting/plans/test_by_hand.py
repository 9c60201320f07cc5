"""Exchange by hand of a meter that was read on: its fall is found, and registers bridge it like a numbered one."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.accounting.plans import exchange
from gateway.accounting.plans.falls import Fallen, fallen
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.accounting.statements.test_statement import accounting_command, period
from tests.support.stated import METER, POINT, Site

COUNTERS = frozenset({"energy_export"})
RESET = int(Quality.COUNTER_RESET)


def found(site: Site) -> Fallen | None:
    store = Database(site.loaded.database, read_only=True)
    try:
        return fallen(store, METER, COUNTERS)
    finally:
        store.close()


def falls(site: Site, register: int) -> int:
    """The new device shows this; gives the time of its reading."""
    site.register = register - 1
    at_ms = site.hands.clock.now_ms()
    site.polls(1, quality=RESET)
    site.event(METER, "alarm", code="counter-back", line="rs485-1", text="it decreased", raised=True)
    return at_ms


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    made.publish()
    made.polls(130)
    return made


def test_the_fall_is_that_of_the_readings_beside_the_alarm(site: Site) -> None:
    assert found(site) is None
    at_ms = falls(site, 7)
    site.polls(400)
    fall = found(site)
    assert fall is not None
    assert (fall.time_ms, fall.points) == (at_ms, ("energy_export",))
    assert (fall.last["energy_export"], fall.first["energy_export"]) == (1130, 7)
    site.event(METER, "meter-exchange", identity="", old="", last={}, first={}, **{"by-hand": True})
    site.polls(1)
    assert found(site) is None
    site.stop()


def test_a_counter_that_stood_at_0_in_between_fell_from_where_it_was_before(site: Site) -> None:
    for _ in range(5):
        site.register, due_ms, hands = site.register + 1, site.due_ms, site.hands
        for meter in hands.journal.rules.periods_ms:
            now = Timestamp.now(hands.clock)
            none = Value("energy_export", None, "kWh", int(Quality.DECODE_ERR)), Value("voltage", 230, "V")
            hands.journal.poll(PollResult(meter, due_ms, Reading(now.time_ms, none), now))
        site.passes(1)
    falls(site, 3)
    site.polls(1)
    fall = found(site)
    assert fall is not None
    assert (fall.last["energy_export"], fall.first["energy_export"]) == (1130, 3)
    site.stop()


def test_of_two_falls_within_a_day_the_first_is_meant(site: Site) -> None:
    """One counter fell at once, another counts again the next morning."""
    at_ms = falls(site, 7)
    site.polls(200)
    falls(site, 3)
    site.polls(1)
    fall = found(site)
    assert fall is not None
    assert fall.time_ms == at_ms
    site.stop()


@pytest.mark.parametrize(("final", "status"), [("1130.25", "bridged"), (None, "unknown")])
def test_registers_of_an_exchange_that_lies_behind_bridge_it(site: Site, final: str | None, status: str) -> None:
    at_ms = falls(site, 7)
    site.polls(60)
    fall = found(site)
    assert fall is not None
    event_fields = {"identity": "", "old": "", "last": dict(fall.last), "first": dict(fall.first), "since": at_ms}
    site.event(METER, "meter-exchange", **event_fields, reason="age", **{"by-hand": True})
    if final is not None:
        values = {"final": Decimal(final), "initial": Decimal("6.75")}
        site.event(
            "gateway", "entry", kind="register", of=POINT, unit="kWh", values=values, reason="age", user="demo",
            **{"from": at_ms, "to": at_ms},
        )  # fmt: skip
    site.polls(200)
    store = site.hands.store
    exchanged = exchange.exchanged(store, METER)
    assert exchanged is not None
    assert (exchanged.time_ms, exchanged.last["energy_export"], exchanged.first["energy_export"]) == (at_ms, 1130, 7)
    assert exchanged.stated == (frozenset({POINT}) if final else frozenset())
    site.stop()
    done = accounting_command("statement", site.loaded.path, "--period", period(site.from_ms, 4), "--dry-run", "--json")
    assert done.exit_code == 0, done.output + done.stderr
    assert statuses(done.stdout) == {"measured", status}


def statuses(text: str) -> set[str]:
    (one,) = json.loads(text)["statements"]
    return {node["status"] for node in one["nodes"]}
