"""The HJ 212 logger of the simulator, judged by a C program that shares no code with it (tests/interop/hj212)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.cli.run import Simulator
from firmware_sim.clock import SimClock
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.answer_faults import KINDS
from firmware_sim.meters.emission_station import FACTORS, Station, StationSpec, dry_flow_nm3_s
from firmware_sim.meters.logger_faults import IMPOSSIBLE, LOGGER_KINDS
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.stack import StackSpec
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.hj212.packets import Damaged, Inbox, Packet, read, split
from tests.interop.hj212.peer import Host, Row, build, checked, host, rows

MN = "010000A8900016F000169DC0"
PLANT = Plant(PlantSpec(seed=4, stack=StackSpec(fuel_kg_h=5000, stops=((1000.0, 2000.0),))))
SCENARIO = """
[plant]
seed = 4
[plant.stack]
fuel_kg_h = 5000
[[bus]]
name = "cems"
type = "hj212"
port = {port}
  [[bus.meter]]
  name = "stack-1"
  address = "010000A8900016F000169DC0"
  {every}
  timeout_s = 0.3
  reconnect_s = 0.1
  {keys}
{faults}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hj212"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_published_packet_gets_its_verdict(row: Row) -> None:
    frame = row.packet + b"\r\n"
    if row.is_good:
        packet = read(frame)
        assert Inbox().feed(frame) == [packet]
        assert packet.cn.encode() in row.packet
        assert packet.cp.encode() == row.packet.partition(b"CP=&&")[2][:-6]
    else:
        with pytest.raises(Damaged):
            read(frame)
        assert Inbox().feed(frame) == []


def test_a_published_packet_is_written_as_it_stands() -> None:
    """Those whose fields have the order of the standard and whose check value has its letters."""
    in_order = [row for row in rows() if row.is_good and row.name not in ("hj08", "hj20")]
    assert len(in_order) == 16
    assert [read(row.packet).frame()[:-2] for row in in_order] == [row.packet for row in in_order]


texts = st.text(st.characters(exclude_characters=";,=&\r\n", exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z][0-9]{5}-[A-Z][a-z]{2}", fullmatch=True), texts, max_size=8))
def test_what_is_written_is_read(values: Mapping[str, str]) -> None:
    cp = ";".join(f"{place}={text}" for place, text in values.items())
    packet = Packet("20261127123000001", "31", "2011", "123456", MN, 7, cp, 2, 1)
    assert read(packet.frame()) == packet
    assert read(packet.frame()).values() == values


@given(st.lists(st.text("abc=1", min_size=1, max_size=30)), st.integers(31, 99))
def test_parts_hold_every_item_once_and_have_their_size(items: list[str], most: int) -> None:
    parts = split(items, most)
    assert [item for part in parts for item in part] == items
    assert all(len(";".join(part)) <= most for part in parts)


def test_the_station_tells_of_the_stack() -> None:
    station, stack = Station(StationSpec("stack-1", MN), PLANT), PLANT.at(90_000).stack
    shown = station.moment(90_000)
    assert {place.partition("-")[0] for place in shown} == set(FACTORS)
    assert abs(float(shown["a19001-Rtd"]) - 100 * stack.o2) <= 0.005
    assert abs(float(shown["a01013-Rtd"]) - (stack.pressure_pa - 101_325) / 1000) <= 0.0005
    kg_s = float(shown["a05001-Rtd"]) * dry_flow_nm3_s(stack) / 1e6
    assert abs(kg_s - stack.gas.co2_kg_s) < 0.03 * stack.gas.co2_kg_s
    minute = station.period(60_000, 120_000)
    assert float(minute["a05001-Min"]) <= float(minute["a05001-Avg"]) <= float(minute["a05001-Max"])
    assert abs(float(minute["a05001-Cou"]) - 60 * kg_s) < 0.1 * 60 * kg_s
    assert (shown["a19001-Flag"], station.moment(1_500_000)["a19001-Flag"]) == ("N", "F")
    assert station.period(0, 3_600_000)["a19001-Flag"] == "D"  # 1000 of 3600 seconds without fire


def test_the_old_style_has_old_codes() -> None:
    spec = StationSpec("s", MN, old_style=True, flags={"a19001": "", "a00000": "M"}, items={"a99999-Rtd": "off"})
    shown = Station(spec, PLANT).moment(90_000)
    assert {"B02-Rtd", "S01-Rtd", "02-ZsRtd", "30-Rtd", "a99999-Rtd"} <= set(shown)
    assert "S01-Flag" not in shown
    assert shown["B02-Flag"] == "M"


@dataclass(frozen=True)
class Case:
    """One logger: how many packets are waited for, and what stands in its scenario."""

    count: int
    keys: str = ""
    faults: str = ""
    answers: int = -1
    every: str = "realtime_s = 1"
    speed: float = 1.0


@dataclass(frozen=True)
class Run:
    """What came of a case: the packets as the C host saw them, and the simulator's log."""

    seen: list[dict[str, Any]]
    log: list[dict[str, Any]]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The log's packets."""
        return [entry for entry in self.log if "sent" in entry]


def _fault(kind: str, *keys: str) -> str:
    return "\n".join(["[[fault]]", 'meter = "stack-1"', f'kind = "{kind}"', *keys])


SECOND_HALF = "every = 2"
IN_PARTS = "cp_bytes = 600\nwaits_for_part = "
MINUTES = "realtime_s = 0\nminute_s = 1"
CASES = {
    "plain": Case(4, "clock_notice = true\nheartbeat_s = 1"),
    "unanswered": Case(7, "resends = 1", answers=2),
    "parts-in-turn": Case(6, IN_PARTS + "true", every=MINUTES),
    "parts-at-once": Case(6, IN_PARTS + "false", every=MINUTES),
    "old-style": Case(2, "old_style = true"),
    "offline": Case(5, faults=_fault("offline", "to = 2.5")),
    "faster": Case(3, faults=_fault("faster"), every="realtime_s = 2"),
    "damaged-crc": Case(4, faults=_fault("damaged-crc", SECOND_HALF)),
    "wrong-length": Case(4, faults=_fault("wrong-length", SECOND_HALF, "bytes_off = -3")),
    "truncated": Case(4, faults=_fault("truncated", SECOND_HALF, "missing = 9")),
    "corrupted": Case(4, faults=_fault("corrupted", SECOND_HALF)),
    "garbage": Case(4, faults=_fault("garbage", SECOND_HALF)),
    "no-line-end": Case(2, faults=_fault("no-line-end", SECOND_HALF)),
    "cut": Case(3, faults=_fault("cut", "gap_ms = 20")),
    "wrong-station": Case(2, faults=_fault("wrong-station")),
    "wrong-password": Case(2, faults=_fault("wrong-password")),
    "stuck-clock": Case(3, faults=_fault("stuck-clock")),
    "stale-label": Case(2, faults=_fault("stale-label", "age_ms = 3600000")),
    "frozen": Case(3, faults=_fault("frozen")),
    "doubled": Case(3, faults=_fault("doubled", "delay_ms = 1")),
    "ten-times": Case(4, "heartbeat_s = 3600", every="realtime_s = 5", speed=10.0),
    "zero-counters": Case(1, faults=_fault("zero-counters"), every=MINUTES),
}


@contextlib.asynccontextmanager
async def logger(there: Host, folder: Path, case: Case) -> AsyncIterator[None]:
    """The simulator with one logger that uploads to a host."""
    path = folder / "plant.toml"
    path.write_text(SCENARIO.format(port=there.port, every=case.every, keys=case.keys, faults=case.faults))
    written = AnswerLog(folder / "log.jsonl")
    simulator = Simulator(load_scenario(path), folder=folder, log=written, clock=SimClock(speed=case.speed))
    await simulator.open()
    try:
        yield
    finally:
        simulator.close()
        written.close()


@pytest.fixture(scope="module")
def runs(program: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All cases, run at the same time."""

    async def one(case: Case, folder: Path) -> Run:
        async with host(program, case.answers) as there, logger(there, folder, case):
            seen = list(await there.until(case.count))
        return Run(seen, [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()])

    async def every() -> list[Run]:
        return await asyncio.gather(*(one(case, tmp_path_factory.mktemp(name)) for name, case in CASES.items()))

    return dict(zip(CASES, asyncio.run(every()), strict=True))


def _damaged(packet: dict[str, Any]) -> bool:
    return not (packet["is_packet"] and packet["length_ok"] and packet["crc_ok"])


def test_every_packet_is_right_answered_and_in_the_log(runs: dict[str, Run]) -> None:
    run = runs["plain"]
    assert all(packet["length_ok"] and packet["crc_ok"] and packet["MN"] == MN for packet in run.seen)
    assert run.seen[0]["CN"] == "1013"
    assert {packet["CN"] for packet in run.seen} == {"1013", "2011", "9015"}
    for packet, sent in zip(run.seen, run.sent, strict=False):
        assert bytes.fromhex(sent["sent"]).decode() == packet["raw"] + "\r\n"
        assert (sent["qn"], sent["cn"], sent["faults"], sent["v"]) == (packet["QN"], packet["CN"], [], 2)
        assert "true" not in sent
        assert all(f"{place}={text}" in packet["CP"] for place, text in sent["values"].items())
    received = [entry for entry in run.log if "received" in entry]
    assert {(e["qn"], e["received"]) for e in received} >= {
        (packet["QN"], "9014" if packet["CN"] == "2011" else "9013") for packet in run.seen[:-1]
    }
    assert all(entry["wanted"] for entry in received)


def test_a_packet_without_answer_is_resent_as_it_is_and_uploaded_again_later(runs: dict[str, Run]) -> None:
    run = runs["unanswered"]
    assert run.seen[0]["QN"] != run.seen[1]["QN"]
    unanswered = run.seen[2:]
    assert unanswered[0]["raw"] == unanswered[1]["raw"]
    later = [p for p in unanswered if p["CP"] == unanswered[0]["CP"] and p["QN"] != unanswered[0]["QN"]]
    assert later, "the stored message is uploaded again, with a QN of its own"
    assert [entry["attempt"] for entry in run.sent][:4] == [1, 1, 1, 2]


@pytest.mark.parametrize(("name", "is_in_turn"), [("parts-in-turn", True), ("parts-at-once", False)])
def test_a_long_message_comes_in_parts(runs: dict[str, Run], name: str, is_in_turn: bool) -> None:
    run = runs[name]
    first = run.seen[: int(run.seen[0]["PNUM"])]
    assert [int(p["PNO"]) for p in first] == list(range(1, len(first) + 1))
    assert len(first) >= 2
    assert all(len(p["CP"]) <= 600 and p["length"] <= 1024 and int(p["Flag"]) == 7 for p in first)
    assert len({p["QN"] for p in first}) == len(first)
    assert len({p["CP"].partition(";")[0] for p in first}) == 1
    order = ["received" in entry for entry in run.log][: 2 * len(first)]
    assert (order == [False, True] * len(first)) == is_in_turn


def test_the_old_style_has_no_qn_and_waits_for_nothing(runs: dict[str, Run]) -> None:
    run = runs["old-style"]
    assert [(p["QN"], p["Flag"], p["ST"], p["crc_ok"]) for p in run.seen] == [("", "", "31", True)] * 2
    assert "B02-Rtd" in run.seen[0]["CP"]
    assert all(entry["attempt"] == 1 for entry in run.log)


def test_what_is_made_during_an_outage_is_uploaded_after_it(runs: dict[str, Run]) -> None:
    run = runs["offline"]
    labels = [p["CP"].partition(";")[0] for p in run.seen]
    assert labels == sorted(set(labels))
    first, last = run.sent[0], run.sent[-1]
    assert first["at_ms"] < 2000, "made during the outage"
    assert first["t_ms"] - first["at_ms"] > last["t_ms"] - last["at_ms"] + 300, "and uploaded after it"


def test_a_faster_logger_makes_more(runs: dict[str, Run]) -> None:
    moments = [entry["at_ms"] for entry in runs["faster"].sent]
    assert all(900 < later - earlier < 1100 for earlier, later in pairwise(moments))


def test_ten_times_as_fast_the_messages_are_those_of_the_plants_time(runs: dict[str, Run]) -> None:
    sent = [entry for entry in runs["ten-times"].sent if entry["attempt"] == 1]
    labels = [datetime.strptime(entry["label"], "%Y%m%d%H%M%S") for entry in sent]
    assert all(later - earlier == timedelta(seconds=5) for earlier, later in pairwise(labels))
    assert all(later["at_ms"] - earlier["at_ms"] == 5000 for earlier, later in pairwise(sent))
    assert sent[-1]["t_ms"] - sent[0]["t_ms"] < sent[-1]["at_ms"] - sent[0]["at_ms"]
    assert all(entry["qn"][:14] >= entry["label"] for entry in sent)


@pytest.mark.parametrize("kind", ["damaged-crc", "wrong-length", "truncated", "corrupted", "garbage"])
def test_a_damaged_packet_is_damaged_and_its_resend_is_not(runs: dict[str, Run], kind: str) -> None:
    run = runs[kind]
    struck = [entry for entry in run.sent if kind in entry["faults"]]
    assert struck
    assert all(entry["values"] == {} and entry["true"]["a19001-Rtd"] for entry in struck)
    assert any(_damaged(packet) for packet in run.seen)
    right = {entry["qn"] for entry in run.sent if not entry["faults"]}
    assert struck[0]["qn"] in right, "it is sent again, whole"


def test_a_packet_without_line_end_is_followed_by_the_next(runs: dict[str, Run]) -> None:
    assert any(packet["raw"].count("##") == 2 for packet in runs["no-line-end"].seen)


def test_a_packet_cut_in_two_is_whole_in_the_end(runs: dict[str, Run]) -> None:
    assert not any(_damaged(packet) for packet in runs["cut"].seen)
    assert all(entry["faults"] == ["cut"] for entry in runs["cut"].sent)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("wrong-station", "MN", "000000000000000000000000"), ("wrong-password", "PW", "000000")],
)
def test_a_wrong_name_stands_in_a_right_packet(runs: dict[str, Run], kind: str, field: str, value: str) -> None:
    assert all(packet[field] == value and not _damaged(packet) for packet in runs[kind].seen)


def test_a_stuck_clock_stands_still_in_label_and_qn(runs: dict[str, Run]) -> None:
    seen = runs["stuck-clock"].seen
    assert len({packet["CP"][:23] for packet in seen}) == 1
    assert len({packet["QN"][:14] for packet in seen}) == 1
    assert len({packet["CP"] for packet in seen}) == 3, "its values move on"


def test_a_stale_label_is_old_and_its_values_are_new(runs: dict[str, Run]) -> None:
    seen = runs["stale-label"].seen
    assert all(packet["CP"][9:19] < packet["QN"][:10] for packet in seen)
    assert len({packet["CP"][23:] for packet in seen}) == 2
    for sent in runs["stale-label"].sent:
        assert (list(sent["true"]), sent["injected"]) == (["DataTime"], ["f1"])
        assert sent["true"]["DataTime"] > sent["values"]["DataTime"]


def test_the_kinds_of_meters_act_on_messages(runs: dict[str, Run]) -> None:
    assert len({packet["CP"][23:] for packet in runs["frozen"].seen}) == 1
    first, second = runs["doubled"].seen[:2]
    assert first["raw"] == second["raw"]


def test_zero_counters_show_zero(runs: dict[str, Run]) -> None:
    cp = runs["zero-counters"].seen[0]["CP"]
    assert set(re.findall(r"-Cou=([^,;&]+)", cp)) == {"0"}
    assert {place.partition("-")[2] for place in runs["zero-counters"].sent[0]["true"]} == {"Cou"}
    assert float(re.findall(r"a05001-Avg=([\d.]+)", cp)[0]) > 0


@pytest.mark.parametrize("kind", sorted({*KINDS, *LOGGER_KINDS}))
def test_a_kind_works_or_is_refused_with_the_reason(tmp_path: Path, kind: str) -> None:
    keys = ('serial = "1"',) if kind == "other-serial" else ()
    path = tmp_path / "plant.toml"
    path.write_text(SCENARIO.format(port=1, every="", keys="", faults=_fault(kind, *keys)))
    if kind in IMPOSSIBLE:
        with pytest.raises(ScenarioError) as refused:
            load_scenario(path)
        assert (refused.value.key, refused.value.fix) == ("fault[0].kind", IMPOSSIBLE[kind][1])
        assert IMPOSSIBLE[kind][0] in str(refused.value)
    else:
        assert [(order.meters, order.made()[0].kind) for order in load_scenario(path).faults] == [(("stack-1",), kind)]


@pytest.mark.parametrize(
    ("keys", "key", "hint"),
    [
        ('factors = ["a00000", "w01018"]', "bus[0].meter[0].factors", "no such factor: w01018"),
        ('st = "air"', "bus[0].meter[0].st", "pattern"),
        ("cp_bytes = 951", "bus[0].meter[0].cp_bytes", "less than or equal to 950"),
        ('profile = "hj212-cems-realtime"', "bus[0].meter[0].profile", "unknown key"),
        ('password = "a;b"', "bus[0].meter[0].password", "pattern"),
        ('flags = { a19001 = "NN" }', "bus[0].meter[0].flags.a19001", "pattern"),
    ],
)
def test_a_wrong_station_is_refused_by_its_key(tmp_path: Path, keys: str, key: str, hint: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(SCENARIO.format(port=9001, every="", keys=keys, faults=""))
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    assert refused.value.key == key
    assert hint in str(refused.value)


def test_a_wrong_bus_is_refused_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    text = SCENARIO.format(port=9001, every="", keys="", faults="")
    for old, new, key, hint in [
        ("port = 9001", 'port = 9001\ntimezone = "Mars/Olympus"', "bus[0].timezone", "no such time zone"),
        ("port = 9001", "port = 0", "bus[0].port", "greater than or equal to 1"),
        (MN, MN + "F", "bus[0].meter[0].address", "pattern"),
    ]:
        path.write_text(text.replace(old, new))
        with pytest.raises(ScenarioError) as refused:
            load_scenario(path)
        assert refused.value.key == key
        assert hint in str(refused.value)


def test_a_fault_of_a_logger_is_none_of_a_meter(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(
        '[[bus]]\nname = "b"\ntype = "modbus-tcp"\nport = 0\n[[bus.meter]]\nname = "stack-1"\naddress = 1\n'
        'profile = "eastron-sdm630"\n' + _fault("damaged-crc")
    )
    with pytest.raises(ScenarioError, match="only a logger on a bus of type hj212 has it"):
        load_scenario(path)


def test_the_checker_takes_what_the_codec_writes(program: Path) -> None:
    frames = [
        Packet(qn, "31", cn, "123456", MN, flag, cp, pnum, pno).frame()[:-2]
        for qn, flag in ((None, None), ("20261127123000001", 5))
        for cn in ("2011", "2061", "9015")
        for cp in ("", "DataTime=20261127123000;a21026-Rtd=1.0,a21026-Flag=N")
        for pnum, pno in ((None, None), (3, 2))
    ]
    verdicts = checked(program, frames)
    assert len(verdicts) == len(frames)
    assert all(each["is_packet"] and each["length_ok"] and each["crc_ok"] for each in verdicts)
