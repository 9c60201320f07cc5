"""What a gateway announces so that an audit can count again: configuration, grids and keys, in signed events."""

from __future__ import annotations

# not quick: days and a thousand meters, 3 s of CPU each
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import KernelClock
from gateway.config.device_keys import Keys, load_keys
from gateway.config.load import load_config
from gateway.config.model import Config, Configured
from gateway.devices.profile import load_profile, parse_profile
from gateway.devices.profile_text import decoding_hash, format_profile
from gateway.errors import DiskFull
from gateway.recording.announcements import MOST_BYTES, Announcements
from gateway.recording.config_change import Change
from gateway.recording.journal import PERIOD, Journal
from gateway.recording.rules import Rules
from gateway.records import CLOCK, CONFIGURATION, GATEWAY, KEYS, SCHEDULE, MeterEvent
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.formats.record import Coverage, Event, Record, parse_record
from ledger_client.formats.statement import parse_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from tests.support.audited import LEDGER, audited, audited_by
from tests.support.books import check_books
from tests.support.clock_history import FrailStore
from tests.support.samples import Hands, Machine, rewritten, site

METER, CO2, PV = "export-main", "stack-co2", "pv-inverter"
DAY_S = 86_400
ROOM = disk_space.Space(0, 1 << 40, 1 << 40)
CO2_TABLE = '  [[bus.meter]]\n  name = "stack-co2"\n  profile = "vaisala-gmp252"\n  address = 240\n  every = "10s"\n'
CO2_TABLE += '  role = "emission"\n'


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def change(hands: Hands, after: Config, *anew: str, why: str = "test") -> int:
    rules = replace(Rules.of(after), seal_every_ms=60_000)
    return hands.journal.change(Change(rules, load_keys(after), anew, {"why": why}))


def batches(hands: Hands) -> list[list[Record]]:
    """The records of each batch, by cuts and seals alike."""
    store = hands.store
    stretches = [(batch.first_id, batch.last_id) for batch in store.batches.all()] + store.batches.cuts()
    return [[parse_record(row.data) for row in store.records.rows(*stretch)] for stretch in stretches]


def test_an_epoch_begins_with_what_is_configured(loaded: Config) -> None:
    hands = Hands(loaded)
    keys, (first, *_) = load_keys(loaded), hands.records(GATEWAY)
    body = first.body
    assert isinstance(body, Event)
    assert body.name == CONFIGURATION
    fields = dict(body.fields)
    meters = fields.pop("meters")
    assert fields == {
        "at": "start", "part": [1, 1], "config": loaded.fingerprint(), "statement": keys.statement.public.kid
    }  # fmt: skip
    assert set(meters) == set(loaded.meters)
    assert meters[CO2] == {
        "key": keys.meters[CO2].public.kid,
        "role": "emission",
        "grids": [[hands.anchor_ms, 10_000]],
        "period": 10_000,
        "profile": "vaisala-gmp252",
        "profile-hash": decoding_hash(load_profile("vaisala-gmp252")),
    }
    hands.end()
    check_books(loaded)


def test_where_no_meter_is_configured_that_is_told(loaded: Config) -> None:
    hands = Hands(loaded)
    facts = {"at": "change", "config": bytes(32)}
    (event,) = Announcements(hands.store.records, ()).configuration(facts, {}, {}, {GATEWAY: bytes(32)}, {})
    assert (event.fields["part"], event.fields["meters"]) == ([1, 1], {})
    hands.end()


def test_ratios_are_told_as_they_are_written_and_a_device_once_it_is_known(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    mine = load_profile("vaisala-gmp252")
    points = tuple(replace(p, factor_from=("ct",)) if p.kind == "gauge" else p for p in mine.points)
    (tmp_path / "site/mine.toml").write_text(format_profile(replace(mine, points=points)))
    loaded = rewritten(loaded, ('profile = "vaisala-gmp252"', 'profile = "mine.toml"\n  ct = "200/5"'))
    hands = Hands(loaded)
    hands.journal.happened(MeterEvent(CO2, Event("commissioned", {"identity": "serial_number=7"})))
    hands.journal.flush()
    change(hands, loaded)
    first, second = (event["meters"][CO2] for event in hands.events(CONFIGURATION))
    assert first["ratios"] == second["ratios"] == {"ct": "200/5"}
    assert (first["profile"], first.get("identity"), second["identity"]) == ("mine", None, "serial_number=7")
    hands.end()
    again = Hands(loaded, hands.machine, epoch=b"\x02" * 8)
    assert again.events(CONFIGURATION)[-1]["meters"][CO2]["identity"] == "serial_number=7"
    again.end()


def test_a_meter_that_hangs_the_wrong_way_round_is_told_and_no_other(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(rewritten(loaded, ('profile = "eastron-sdm630"', 'profile = "eastron-sdm630"\n  reversed = true')))
    (event,) = hands.events(CONFIGURATION)
    assert {name: facts.get("reversed") for name, facts in event["meters"].items()} == {
        name: True if name == "export-main" else None for name in loaded.meters
    }
    hands.end()
    check_books(loaded)


def test_the_hash_of_a_profile_is_of_what_determines_its_decoding() -> None:
    profile = load_profile("eastron-sdm630")
    again = parse_profile(format_profile(profile), "eastron-sdm630", "here")
    reworded = replace(
        again, vendor="another", source="elsewhere", points=tuple(replace(p, note="so") for p in again.points)
    )
    assert decoding_hash(reworded) == decoding_hash(again) == decoding_hash(profile)
    first, *others = profile.points
    assert decoding_hash(replace(profile, points=(replace(first, scale=first.scale + 1), *others))) != decoding_hash(
        profile
    )


def test_the_first_batch_of_each_utc_day_begins_with_what_is_configured(loaded: Config) -> None:
    hands = Hands(loaded, seal_every_ms=360_000)
    for _ in range(3):
        hands.poll(40)
        silent(hands, DAY_S - 500)
    hands.journal.cut()
    found = batches(hands)
    assert is_configuration(found[0][0])
    new = [batch for before, batch in pairwise(found) if day(batch) != day(before)]
    assert len(new) == 3
    assert all(is_configuration(batch[0]) for batch in new)
    assert [event["at"] for event in hands.events(CONFIGURATION)] == ["start", "day", "day", "day"]
    again = hands.events(CONFIGURATION)[-1]["meters"][METER]
    assert again["grids"] == [[hands.anchor_ms, 10_000]]
    hands.end()
    check_books(loaded)


def silent(hands: Hands, seconds: int) -> None:
    """Nobody polls for a while."""
    hands.machine.passes(seconds)
    hands.polls += seconds // 10
    hands.journal.skip(list(hands.journal.rules.periods_ms))
    hands.journal.keep_time()


def day(batch: list[Record]) -> int:
    return batch[0].claims.iat // DAY_S


def is_configuration(record: Record) -> bool:
    return isinstance(record.body, Event) and record.body.name == CONFIGURATION


def test_the_configuration_of_a_day_counts_for_no_batch(loaded: Config) -> None:
    hands = Hands(loaded, seal_count=3)
    silent(hands, DAY_S)
    hands.poll(2)
    assert [len([r for r in batch if r.claims.meter != GATEWAY and r.kind == "reading"]) for batch in batches(hands)][
        -1
    ] == 3
    hands.end()
    check_books(loaded)


def test_a_statement_names_the_configuration_by_which_its_records_were_made(loaded: Config) -> None:
    hands = Hands(loaded)
    before = loaded.fingerprint()
    hands.journal.held = "wait"
    hands.poll(1)
    hands.journal.cut()
    after = rewritten(loaded, ('every = "10s"', 'every = "7s"'))
    change(hands, after)
    hands.journal.cut()
    hands.journal.held = None
    hands.journal.keep_time()
    hands.journal.keep_time()
    named = [parse_statement(batch.entry).statement.config for batch in hands.store.batches.all()]
    assert named == [before, after.fingerprint()]
    hands.end()


def test_grids_of_a_thinned_recording_are_told_with_it(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.journal._record_every(5, ROOM)
    event, *_ = hands.events(PERIOD)
    assert {meter: grid[-1][1] for meter, grid in event["grids"].items()} == dict.fromkeys(loaded.meters, 50_000)
    assert [period for grid in event["grids"].values() for _, period in grid[:-1]] == [0] * len(loaded.meters)
    hands.poll(12)
    assert len(hands.events(PERIOD)) == 2  # there is room again
    hands.end()
    check_books(loaded)


def test_a_meter_that_is_taken_out_has_nothing_due_any_more(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(2)
    whole, without = loaded.path.read_text(), rewritten(loaded, (CO2_TABLE, ""))
    change(hands, without)
    (event,) = hands.events(SCHEDULE)
    (grid,) = event["grids"][CO2]
    assert (set(event["grids"]), grid[1]) == ({CO2}, 0)
    hands.machine.passes(3600)
    loaded.path.write_text(whole)
    change(hands, load_config(loaded.path), CO2)
    assert [c.due for c in coverage(hands, CO2)][-1] == 0
    hands.end()
    check_books(loaded)


def test_a_meter_that_a_start_leaves_out_has_nothing_due_from_there_on(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(3)
    hands.store.close()  # killed
    hands.machine.passes(60)
    whole, without = loaded.path.read_text(), rewritten(loaded, (CO2_TABLE, ""))
    second = Hands(without, hands.machine, epoch=b"\x02" * 8)
    assert second.events(SCHEDULE)[-1]["grids"] == {CO2: [[second.anchor_ms, 0]]}
    second.end()
    second.machine.passes(3600)
    loaded.path.write_text(whole)
    third = Hands(load_config(loaded.path), second.machine, epoch=b"\x03" * 8)
    last = coverage(third, CO2)[-1]
    assert last.due == 9  # 90 s until it was left out, none of the hour behind that
    assert not third.events(KEYS)
    third.end()
    check_books(loaded)


def test_a_meter_that_is_taken_out_before_its_new_grid_begins_has_nothing_due(loaded: Config, tmp_path: Path) -> None:
    hands = Hands(loaded)
    hands.poll(2)
    hands.journal._record_every(5, ROOM)
    whole, without = loaded.path.read_text(), rewritten(loaded, (CO2_TABLE, ""))
    change(hands, without)
    hands.machine.passes(3600)
    loaded.path.write_text(whole)
    change(hands, load_config(loaded.path), CO2)
    assert [c.due for c in coverage(hands, CO2)][-1] == 0
    hands.machine.passes(60)
    hands.journal.skip(list(loaded.meters))
    hands.journal.cut()
    hands.journal.keep_time()
    hands.end()
    check_books(loaded)
    assert audited(loaded, tmp_path / "exports").findings == []


def test_a_gateway_whose_last_meter_is_taken_out_says_so(loaded: Config) -> None:
    hands = Hands(loaded)
    rules = replace(Rules.of(loaded), periods_ms={})
    hands.journal.change(Change(rules, load_keys(loaded), (), {"why": "test"}))
    assert hands.events(CONFIGURATION)[-1]["meters"] == {}
    hands.end()
    check_books(loaded)


def coverage(hands: Hands, meter: str) -> list[Coverage]:
    return [record.body for record in hands.records(meter) if isinstance(record.body, Coverage)]


def test_a_new_key_is_told_with_the_one_before(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(1)
    hands.end()
    old, new = load_keys(loaded), {METER: PrivateKey.generate(), "statement": PrivateKey.generate()}
    for name, key in new.items():
        (loaded.keys / f"{name}.pem").unlink()
        save_private_key(loaded.keys / f"{name}.pem", key)
    again = Hands(rewritten(loaded, ('name = "stack-co2"', 'name = "another"')), hands.machine, epoch=b"\x02" * 8)
    keys = load_keys(load_config(loaded.path))
    assert again.events(KEYS) == [
        {"owner": METER, "key": new[METER].public.kid, "before": old.meters[METER].public.kid},
        {"owner": "another", "key": keys.meters["another"].public.kid},
        {"owner": GATEWAY, "key": new["statement"].public.kid, "before": old.statement.public.kid},
    ]
    again.end()
    third = Hands(load_config(loaded.path), hands.machine, epoch=b"\x03" * 8)
    assert len(third.events(KEYS)) == 3
    third.end()


def test_a_meter_that_a_reload_adds_has_its_key_told(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(1)
    change(hands, rewritten(loaded, ('name = "stack-co2"', 'name = "another"')), "another")
    keys = load_keys(load_config(loaded.path))
    assert hands.events(KEYS) == [{"owner": "another", "key": keys.meters["another"].public.kid}]
    hands.end()
    check_books(loaded)


@pytest.mark.parametrize("fate", ["refused", "full"])
def test_grids_that_wait_for_the_disk_are_told_in_the_commit_that_notes_them(loaded: Config, fate: str) -> None:
    machine = Machine()
    hands = Hands(loaded, machine, store=lambda path: FrailStore(path, machine))
    store = hands.store
    assert isinstance(store, FrailStore)
    hands.poll(3)
    hands.journal.flush()
    machine.wall_ms += 5_000
    store.fates = [(fate, 0.0)]
    hands.journal._mind_the_clock(hands.clock.schedule_ms())
    assert bool(hands.events(CLOCK)) == (fate == "full")  # which is given the reserve
    hands.poll(6)
    (event,) = hands.events(CLOCK)
    noted = [(meter, anchor, period) for meter, _, anchor, period in store.epochs.schedules()][len(loaded.meters) :]
    assert sorted((m, *grid) for m, grids in event["grids"].items() for grid in grids) == sorted(noted)
    hands.end()
    check_books(loaded)


# — seven hundred meters —


class Many:
    """Journals of seven hundred meters with long names."""

    def __init__(self, folder: Path) -> None:
        self.names = [f"meter-{'x' * 54}-{n:03}" for n in range(700)]
        self.keys = Keys(PrivateKey.generate(), {name: PrivateKey.generate() for name in self.names})
        self.machine, self.path = Machine(), folder / "meterseal.db"
        limits = disk_space.Limits(8 * 10**9, None, 90 * DAY_S * 1000, thin=True)
        configured = dict.fromkeys(self.names, Configured("auxiliary", "a-profile", bytes(32), {"ct": "200/5"}))
        self.rules = Rules(
            gateway="many", periods_ms=dict.fromkeys(self.names, 10_000), configured=configured, commit_every_ms=1000,
            seal_every_ms=60_000, seal_count=10_000, ledgers=[], required=[], config=bytes(32), software="meterseal/1",
            limits=limits, counters={},
        )  # fmt: skip

    def journal(self, epoch: int) -> Journal:
        self.store = Database(self.path)
        clock = self.machine.clock(self.store.records.latest_ms())
        made = Journal(self.store, self.keys, self.rules, clock, epoch.to_bytes(8, "big"))
        made.open()
        return made

    def trust(self) -> Trust:
        keys = [key_entry("meter", key.public, 0, gateway="many", meter=n) for n, key in self.keys.meters.items()]
        keys.append(key_entry("statement", self.keys.statement.public, 0, gateway="many"))
        keys.append(key_entry("ledger", LEDGER.public, 0, ledger="demo-ledger"))
        return parse_trust('[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n' + "".join(keys), "trust.toml")

    def events(self, *names: str) -> Iterator[Event]:
        for row in self.store.records.rows(1, 1 << 60):
            body = parse_record(row.data).body if row.meter == GATEWAY else None
            if isinstance(body, Event) and body.name in names:
                assert len(cbor.encode({"event": body.name, **body.fields})) <= MOST_BYTES
                yield body


def tables(events: list[Event], table: str) -> dict[str, Any]:
    """A table by meter that several events bear together."""
    found: dict[str, Any] = {}
    for event in events:
        part = event.fields.get(table, {})
        assert not part.keys() & found.keys()
        found |= part
    return found


def test_what_is_configured_of_seven_hundred_meters_comes_in_parts(tmp_path: Path) -> None:
    many = Many(tmp_path)
    first = many.journal(1)
    parts = list(many.events(CONFIGURATION))
    assert [event.fields["part"] for event in parts] == [[n + 1, len(parts)] for n in range(len(parts))]
    assert len(parts) > 2, "a first, a last and others"
    assert set(tables(parts, "meters")) == set(many.names)
    many.machine.passes(100)
    first._record_every(2, ROOM)
    assert set(tables(list(many.events(PERIOD, SCHEDULE)), "grids")) == set(many.names)
    many.store.close()  # killed
    many.machine.wall_ms, many.machine.kernel = 3_000, KernelClock(False, None)
    second = many.journal(2)
    many.machine.wall_ms, many.machine.kernel = 1_800_007_200_000, KernelClock(True, 15)
    many.machine.passes(2)
    second.keep_time()
    events = list(many.events(CLOCK, SCHEDULE))
    places = [n for n, event in enumerate(events) if event.name == CLOCK]
    dated = events[places[0] :]
    assert set(tables(dated, "stopped")) == set(tables(dated, "grids")) == set(many.names)
    second.cut()
    second.keep_time()
    assert audited_by(many.trust(), many.path, tmp_path / "files").findings == []
    kept, *removed = many.names
    few = replace(many.rules, periods_ms={kept: 10_000}, configured={kept: many.rules.configured[kept]})
    second.change(Change(few, many.keys, (), {"why": "test", "before": bytes(32), "removed": removed}))
    event = list(many.events(CONFIGURATION))[-1]
    assert event.fields["removed"] == len(removed)
    many.store.close()


def test_a_disk_that_is_full_at_a_day_s_end_lets_the_configuration_wait(loaded: Config) -> None:
    machine = Machine()
    hands = Hands(loaded, machine, store=lambda path: FrailStore(path, machine))
    store = hands.store
    assert isinstance(store, FrailStore)
    hands.poll(1)
    hands.journal.flush()
    store.fates = [("full", 0.0), ("full", 0.0)]
    silent(hands, DAY_S)
    assert isinstance(hands.journal.trouble, DiskFull)
    hands.poll(12)
    assert [event["at"] for event in hands.events(CONFIGURATION)] == ["start", "day"]
    hands.end()
    check_books(loaded)
