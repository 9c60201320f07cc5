"""What the board hears without anybody telling it: flags of readings, the store's own events, the clock, files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.plans import catalog
from gateway.alarms.checks import Found, run_periodic_checks
from gateway.clock import KernelClock
from gateway.config.device_keys import load_site_trust
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.polling.line import Line
from gateway.messages.message import Message
from gateway.records import GATEWAY, MeterEvent, MissedPoll, NotRecorded, SignedRecord, StoredRecord, Timestamp
from gateway.runtime.alarm_inputs import AlarmInputs
from gateway.startup.line_specs import line_specs
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.accounted import plan_fields
from tests.support.brokers.pki import Authority
from tests.support.gateways.contexts import InForce, context
from tests.support.gateways.desk import Desk
from tests.support.samples import START_S, Hands, site

A, BUS = "meter-a", "bus-1"
DAY_MS = 86_400_000


class Ears(Desk):
    """A desk whose board has its sources."""

    def listen(self) -> None:
        lines = {spec.name: Line(spec, self.clock, lambda _: None) for spec in line_specs(self.loaded)}
        self.site = context(InForce(self.loaded), self.clock, self.recorder, self.live, self.board, lines)
        self.sources = AlarmInputs(self.site)

    def reading(self, flags: int = 0, *, recorded: bool = True) -> None:
        self.read((Value("power", 1, "W"), Value("energy", 2, "Wh", quality=flags)), recorded=recorded)

    def read(self, values: tuple[Value, ...], now: Timestamp | None = None, *, recorded: bool = True) -> None:
        now = now or Timestamp.now(self.clock)
        body = Reading(now.time_ms, values)
        row = StoredRecord(A, b"", 0, "reading", now.time_ms, b"")
        self.sources.hear([SignedRecord(row, body, now) if recorded else NotRecorded(A, body, now, "disk-full")])
        self.board.tick()

    def event(self, name: str, of: str = GATEWAY, **fields: Any) -> None:
        now = Timestamp.now(self.clock)
        self.sources.hear([SignedRecord(StoredRecord(of, b"", 0, "event", now.time_ms, b""), Event(name, fields), now)])
        self.board.tick()


def with_ears(folder: Path, work: Callable[[Ears], None]) -> None:
    async def inside() -> None:
        ears = Ears(folder, {BUS: [A]})
        ears.listen()
        try:
            work(ears)
        finally:
            ears.stop()

    asyncio.run(inside())


def test_a_value_that_stands_still_and_a_counter_that_went_back(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        ears.reading(Quality.FROZEN)
        ears.passes(11)
        stale = ears.one()
        assert (stale.code, stale.source, stale.line, "energy" in stale.text) == ("stale", A, BUS, True)
        assert "power" not in stale.text
        ears.reading()
        ears.passes(61)
        assert not ears.one().active
        ears.reading(Quality.COUNTER_RESET | Quality.LATE, recorded=False)
        back = next(row for row in ears.board.listed() if row.code == "counter-back")
        assert (back.active, back.source, "energy" in back.text) == (True, A, True)
        ears.reading(Quality.COUNTER_RESET)
        ears.passes(601)
        assert [code for code, raised in ears.raised() if raised] == ["stale", "counter-back"]
        assert not any(row.active for row in ears.board.listed())

    with_ears(tmp_path, work)


def test_each_value_that_stands_still_is_named_also_one_that_joins_later(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        names = [f"voltage_{n:02}" for n in range(9)]
        for still in (names[:8], names):
            now = Timestamp.now(ears.clock)
            values = tuple(Value(name, 1, "V", int(Quality.FROZEN) if name in still else 0) for name in names)
            ears.read(values, now)
            ears.passes(11)
            assert [name in ears.one().text for name in names] == [name in still for name in names]
        assert len(ears.raised()) == 1, "it is the same alarm"

    with_ears(tmp_path, work)


@pytest.mark.parametrize(
    ("power", "other", "stands"),
    [(4321.5, None, True), (0.0, None, False), (4321.5, 50.0, False), (None, None, False)],
    ids=["power", "none", "nothing moves", "it moves"],
)
def test_a_power_that_stands_for_an_hour_while_others_move_is_a_warning(
    tmp_path: Path, power: float | None, other: float | None, stands: bool
) -> None:
    """A limit and a reactive power may stand for as long as they like."""

    def work(ears: Ears) -> None:
        for minute in range(63):
            moving = minute / 100 + 50
            values = (
                Value("active_power_l1", moving if power is None else power, "W"),
                Value("power_limit", 17.0, "kW"),
                Value("reactive_power_l1", 12.0, "var"),
                Value("frequency", moving if other is None else other, "Hz"),
            )
            if minute == 60:
                assert ears.board.listed() == []
            ears.read(values, Timestamp.now(ears.clock))
            ears.passes(60)
        found = ears.board.listed()
        assert len(found) == stands
        for alarm in found:
            assert (alarm.code, alarm.severity, alarm.source, alarm.active) == ("stale", "warning", A, True)
            assert alarm.message == Message("powers-stuck", meter=A, line=BUS, points=("active_power_l1",))
            assert alarm.raised_ms - alarm.since_ms >= 3_600_000

    with_ears(tmp_path, work)


def test_who_is_asleep_after_a_restart_is_not_silent_any_more(tmp_path: Path) -> None:
    """The alarm is of the evening: the new process finds the meter asleep, and hears no reading until the morning."""

    def work(ears: Ears) -> None:
        ears.line("line-down", BUS)
        ears.passes(6)
        ears.event("ratio-differs", A, ratios={"ct_ratio": {"configured": "40", "read": "50"}})
        assert {row.code for row in ears.board.listed()} == {"line-down", "ratio-differs"}
        ears.restart()
        ears.listen()
        asleep = MissedPoll(A, ears.clock.now_ms(), "timeout")
        ears.sources.hear([asleep])
        ears.passes(600)
        assert all(row.active for row in ears.board.listed())
        ears.sleeping.add(BUS)
        ears.sources.hear([replace(asleep, reason="asleep")])
        ears.passes(6)
        assert {row.code: row.active for row in ears.board.listed()} == {"line-down": False, "ratio-differs": True}
        assert "asleep" in ears.events()[-1][1]["text"]

    with_ears(tmp_path, work)


def test_another_ratio_in_a_meter_until_it_is_the_configured_one(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        ears.event("ratio-differs", A, ratios={"ct_ratio": {"configured": "40", "read": "50"}})
        alarm = ears.one()
        assert (alarm.code, alarm.source, alarm.line, alarm.active) == ("ratio-differs", A, BUS, True)
        ratio = Message("ratio-and-configured", point="ct_ratio", read="50", configured="40")
        assert alarm.message == Message("ratio-differs", meter=A, line=BUS, ratios=(ratio,))
        ears.event("ratio-differs", A, ratios={})
        assert not ears.one().active
        ears.event("ratio-differs", "left-the-site", ratios={"ct_ratio": {"configured": "40", "read": "50"}})
        assert [code for code, raised in ears.raised() if raised] == ["ratio-differs"]

    with_ears(tmp_path, work)


def test_the_stores_own_alarms_are_shown_and_not_signed_twice(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        ears.event("alarm", code="buffer", line="store", text="buffer 81% full", raised=True)
        assert (ears.one().code, ears.one().active, ears.raised()) == ("buffer", True, [])
        ears.event("alarm", code="buffer", line="store", text="buffer has room again", raised=False)
        assert (ears.one().active, ears.raised()) == (False, [])
        ears.event("alarm", code="ledger-lost", line="ledger x", text="told elsewhere", raised=True)
        assert len(ears.board.listed()) == 1

    with_ears(tmp_path, work)


def test_the_clock(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        ears.sources._look_at_clock()
        ears.machine.kernel = KernelClock(False, None)
        ears.passes(2)
        ears.sources._look_at_clock()
        ears.passes(599)
        assert ears.standing() == []
        ears.passes(2)
        assert (ears.one().code, ears.one().active) == ("clock", True)
        ears.machine.kernel = KernelClock(True, 20)
        ears.passes(2)
        ears.sources._look_at_clock()
        ears.passes(61)
        assert not ears.one().active
        ears.event("clock", before=START_S * 1000, after=START_S * 1000 + 5000, up=1, clock="S")
        step = next(row for row in ears.board.listed() if row.code == "clock-step")
        assert (step.active, "2027-01-15T08:00:05" in step.text) == (False, True)

    with_ears(tmp_path, work)


def test_a_reload_is_told_with_the_name_of_who_ordered_it(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        ears.event("configuration", why="reload", user="root (command line)", config=b"\1" * 32, before=b"\2" * 32)
        text = ears.one().text
        assert ("root (command line)" in text, "0101010101010101" in text, "0202020202020202" in text) == (True,) * 3
        ears.sources.close()
        assert ears.site.hub.listeners == []

    with_ears(tmp_path, work)


def test_alarms_of_the_accounting_reach_the_board_are_signed_and_cleared(tmp_path: Path) -> None:
    async def inside() -> None:
        ears = Ears(tmp_path, {BUS: [A]})
        ears.listen()
        from_ms = ears.clock.now_ms() // 900_000 * 900_000
        fields = plan_fields(from_ms, f"{A}/energy")
        factor = next(dict(f) for f in catalog.factors() if f["series"] == "CN-average" and f["vintage"] == 2022)
        node = fields["nodes"]["station"] | {"role": "emission", "method": "electricity"}
        node |= {"factor": "CN-average", "factor_rule": "year-of-use"}
        await signed(ears, Event("plan", fields | {"nodes": {"station": node}, "factors": [factor]}))
        ears.machine.passes(40 * 86_400)
        await look(ears)
        lines = {row.code: row.line for row in ears.board.listed() if row.line.startswith("plan ")}
        assert lines == {
            "statement-overdue": "plan main", "hour-lost": "plan main, node station",
            "factor-outdated": "plan main, node station",
        }  # fmt: skip
        assert {code for code, raised in ears.raised() if raised} >= set(lines)
        closing = {"kind": "closure", "of": "station", "from": from_ms, "to": from_ms, "values": {}}
        await signed(ears, Event("entry", closing | {"reason": "taken down", "user": "an owner"}))
        ears.machine.passes(1800)
        await look(ears)
        active = {row.code for row in ears.board.listed() if row.active}
        assert (active & set(lines)) == {"factor-outdated"}
        ears.stop()

    asyncio.run(inside())


async def signed(ears: Ears, event: Event) -> None:
    ears.recorder.happened(GATEWAY, event)
    await asyncio.wrap_future(ears.recorder.call(lambda _: None))


async def look(ears: Ears) -> None:
    ears.site.keeper.read()
    await ears.sources._look()
    ears.board.tick()


# — one look at the files and the database —


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def found(loaded: Config, code: str, now_ms: int, held: str | None = None) -> dict[tuple[str, str], str]:
    return {key: str(sentence) for key, (sentence, _) in run_periodic_checks(loaded, now_ms, held).alarms[code].items()}


def test_a_site_that_is_well(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.journal.flush()
    now_ms = hands.clock.now_ms()
    assert run_periodic_checks(loaded, now_ms, None) == Found({code: {} for code in (
        "ledger-refused", "equivocation", "anchor-overdue", "disk", "certificate-end", "key-end", "key-unlisted",
    )})  # fmt: skip
    hands.end()
    loaded.database.unlink()
    assert run_periodic_checks(loaded, now_ms, None) == Found(
        {"certificate-end": {}, "key-end": {}, "key-unlisted": {}}
    )


def test_a_batch_that_no_ledger_settles_and_sealing_that_waits(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.journal.cut()
    hands.journal.keep_time()
    sealed_ms = hands.clock.now_ms()
    hands.end()
    hour_ms = 3_600_000
    assert found(loaded, "anchor-overdue", sealed_ms + hour_ms - 10_000) == {}
    overdue = found(loaded, "anchor-overdue", sealed_ms + hour_ms, "sealing waits until ledger demo-ledger answers")
    assert list(overdue) == [(GATEWAY, "ledger demo-ledger"), (GATEWAY, "sealing")]
    assert "batch 0" in overdue[GATEWAY, "ledger demo-ledger"]


def test_another_configuration_than_at_the_last_start(loaded: Config) -> None:
    Hands(loaded).end()
    assert run_periodic_checks(loaded, 0, None).changed is None
    Hands(loaded, epoch=b"\7" * 8).end()
    assert run_periodic_checks(loaded, 0, None).changed is None
    Hands(loaded, epoch=b"\6" * 8, config=b"\5" * 32).end()
    changed = run_periodic_checks(loaded, 0, None).changed
    assert changed is not None
    assert "0505050505050505" in str(changed)
    hands = Hands(loaded, epoch=b"\5" * 8, config=b"\5" * 32)
    hands.journal.happened(
        MeterEvent(GATEWAY, Event("configuration", {"at": "change", "config": b"\4" * 32, "before": b"\5" * 32}))
    )
    hands.end()
    assert run_periodic_checks(loaded, 0, None).changed is None
    Hands(loaded, epoch=b"\4" * 8, config=b"\4" * 32).end()  # what a reload has brought is known
    assert run_periodic_checks(loaded, 0, None).changed is None


def test_a_record_that_does_not_bear_its_meters_signature(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(1)
    hands.journal.flush()
    row = hands.store.records.readings("export-main", 1)[0]
    forged = replace_last(row)
    with hands.store.transaction():
        hands.store.records.append([forged])
    bad = run_periodic_checks(loaded, hands.clock.now_ms(), None).forged
    assert list(bad) == [("export-main", "store")]
    assert forged.id in str(bad["export-main", "store"][0])
    hands.store.close()


def replace_last(row: StoredRecord) -> StoredRecord:
    return row._replace(seq=row.seq + 1000, data=row.data[:-1] + bytes([row.data[-1] ^ 1]))


def test_certificates_and_keys_near_their_end(loaded: Config, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    soon, gone = authority.issue("soon", days=10), authority.issue("gone", days=-1)
    text = loaded.path.read_text().replace('url = "http://127.0.0.1:8700"', 'url = "https://127.0.0.1:8700"')
    now_ms = int(time.time() * 1000)
    for pair, word in ((soon, "expires in"), (gone, "has expired")):
        files = f'cert = "{pair.cert}"\nkey = "{pair.key}"\n'
        feed = f'[[feed]]\nname = "scada"\ntype = "json"\nurl = "mqtts://127.0.0.1"\n{files}'
        web = f'[web]\nlisten = "127.0.0.1:0"\n{files}'
        loaded.path.write_text(f'{text}\nca = "{authority.ca}"\n{files}{feed}{web}')
        ends = found(load_config(loaded.path), "certificate-end", now_ms)
        whose = ("ledger demo-ledger, cert", "feed scada, cert", "web, cert")
        assert list(ends) == [(GATEWAY, line) for line in whose]
        assert all(word in text for text in ends.values())
    trust = loaded.trust.read_text()
    assert found(loaded, "key-end", now_ms) == {}
    head, _, rest = trust.partition("[[key]]")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ms // 1000 + 5 * 86_400))
    loaded.trust.write_text(f"{head}[[key]]\nvalid_to = {end}{rest}")
    ends = found(loaded, "key-end", now_ms)
    assert list(ends) == [(GATEWAY, "statement key")]
    assert "in 5 days" in ends[GATEWAY, "statement key"]
    for seconds, word in ((29 * 86_400 + 60, "in 29 days"), (-1, "has expired")):
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ms // 1000 + seconds))
        loaded.trust.write_text(trust.replace("[policy]\n", f"[policy]\nexpires = {until}\n"))
        assert word in found(loaded, "key-end", now_ms)[GATEWAY, "trust file"]
    assert load_site_trust(loaded).expires is not None  # nothing stops
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ms // 1000 + 31 * 86_400))
    loaded.trust.write_text(trust.replace("[policy]\n", f"[policy]\nexpires = {later}\n"))
    assert found(loaded, "key-end", now_ms) == {}


def test_room_for_less_than_two_days(tmp_path: Path) -> None:
    small = site(tmp_path / "site", {"[store]": '[store]\nmax_size = "2MB"', 'every = "60s"': 'every = "10s"'})
    hands = Hands(small)
    hands.poll(30)
    hands.journal.flush()
    short = found(small, "disk", hands.clock.now_ms())
    assert list(short) == [(GATEWAY, "store")]
    assert "left at this rate" in short[GATEWAY, "store"]
    hands.end()


def test_a_feed_that_tells_nobody_for_two_minutes_is_an_alarm_until_it_is_connected(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        now: dict[str, Any] = {"connected": False, "state": "the broker is not reachable (timed out)"}
        ears.site.feeds.join("scada", lambda: now)

        def passes(seconds: int) -> None:
            for _ in range(seconds):
                ears.sources._look_at_feeds()
                ears.passes(1)

        passes(100)
        now["connected"] = True
        passes(5)
        now["connected"] = False
        passes(119)
        assert ears.board.listed() == []
        passes(3)
        away = ears.one()
        assert (away.source, away.code, away.line) == (GATEWAY, "feed-away", "feed scada")
        assert away.message == Message("feed-not-connected", feed="scada", state=now["state"])
        now["connected"] = True
        passes(12)
        assert not ears.one().active
        now["connected"] = False
        passes(125)
        assert ears.one().active
        ears.site.feeds.leave("scada")
        passes(12)
        assert not ears.one().active, "a feed that is no more is not away"

    with_ears(tmp_path, work)


def test_a_feed_whose_broker_acknowledges_what_it_drops_is_an_alarm_at_once(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        now: dict[str, Any] = {"connected": False, "state": "connecting", "silent": False}
        ears.site.feeds.join("scada", lambda: now)
        for silent, count in ((False, 0), (True, 1)):
            now["silent"] = silent
            for _ in range(10):
                ears.sources._look_at_feeds()
                ears.passes(1)
            assert len(ears.board.listed()) == count
        assert ears.one().code == "feed-away"

    with_ears(tmp_path, work)


def test_a_receiver_that_fails_for_two_minutes_is_an_alarm_until_it_takes_a_message(tmp_path: Path) -> None:
    def work(ears: Ears) -> None:
        why = Message("errno-timed-out")
        now: dict[str, Any] = {"failing": True, "state": str(why), **why.to_fields(), "since": ears.clock.now_ms()}
        ears.site.receivers.join("duty", lambda: now)

        def passes(seconds: int) -> None:
            for _ in range(seconds):
                ears.sources._look_at_receivers()
                ears.passes(1)

        passes(119)
        assert ears.board.listed() == []
        passes(3)
        failing = ears.one()
        assert (failing.source, failing.code, failing.line) == (GATEWAY, "notify-failing", "notify duty")
        assert failing.message == Message("notify-failing", receiver="duty", state=why)
        now["failing"] = False
        passes(12)
        assert not ears.one().active

    with_ears(tmp_path, work)
