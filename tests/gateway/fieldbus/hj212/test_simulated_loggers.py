"""The source against the simulator's loggers: each fault costs what it must and nothing more, and both books agree."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.decode_text import PACKET_FLAG
from gateway.fieldbus.wire.source import Heard
from tests.gateway.fieldbus.hj212.loggers import listening, station

SECONDS, LONG_S = 5.5, 3.0
HEAD = """
[plant.stack]
fuel_kg_h = 5000
[[bus]]
name = "cems"
type = "hj212"
port = {port}
"""
PASSWORD = "123456"
KEYS = {
    "plain": "heartbeat_s = 1\nclock_notice = true",
    "old": "old_style = true",
    "silent": "wants_answer = false",
    "parts": "realtime_s = 0\nminute_s = 1\ncp_bytes = 500",
}
FAULTS = {
    "damaged-crc": "every = 2",
    "wrong-length": "every = 2\nbytes_off = 3",
    "garbage": "every = 2\nsize = 60",
    "no-line-end": "",
    "cut": "gap_ms = 30",
    "doubled": "delay_ms = 20",
    "glued": "",
    "wrong-station": "every = 2",
    "wrong-password": "every = 2",
    "offline": f"to = {LONG_S}",
    "stuck-clock": "",
}


@dataclass(frozen=True)
class Books:
    """What the simulator wrote down, and what the source heard, refused and counted; all by name of the logger."""

    log: list[dict[str, Any]]
    heard: list[Heard]
    refused: Counter[str]
    counters: Counter[str]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """The packets of a logger."""
        return [entry for entry in self.log if entry["meter"] == name and "sent" in entry]

    def answered(self, name: str) -> list[str]:
        """The QNs that a logger had waited for and got 9014 for."""
        return [e["qn"] for e in self.log if e["meter"] == name and e.get("received") == "9014" and e["wanted"]]

    def of(self, name: str) -> list[Heard]:
        """What was heard of a logger."""
        return [one for one in self.heard if one.unit == name.replace("-", "")]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """All loggers for some seconds at the same time; each message is replied to at once."""
    folder = tmp_path_factory.mktemp("loggers")
    return asyncio.run(_run(folder))


async def _run(folder: Path) -> Books:
    names = [*KEYS, *FAULTS]
    stations = [station(name.replace("-", ""), "2051" if name == "parts" else "2011", PASSWORD) for name in names]
    heard: list[Heard] = []
    async with listening(*stations) as there:

        async def replies() -> None:
            while True:
                heard.append(await there.heard())
                there.reply(heard[-1])

        replying = asyncio.create_task(replies())
        meters = "".join(
            f'[[bus.meter]]\nname = "{name}"\naddress = "{name.replace("-", "")}"\ntimeout_s = 0.3\nreconnect_s = 0.2\n'
            + (KEYS.get(name) or "realtime_s = 1")
            + ("" if name not in KEYS or name == "parts" else "\nrealtime_s = 1")
            + "\n"
            for name in names
        )
        faults = "".join(f'[[fault]]\nmeter = "{kind}"\nkind = "{kind}"\n{keys}\n' for kind, keys in FAULTS.items())
        path = folder / "plant.toml"
        path.write_text(HEAD.format(port=there.source.tcp_port) + meters + faults)
        log = AnswerLog(folder / "log.jsonl")
        simulator = Simulator(load_scenario(path), folder=folder, log=log)
        await simulator.open()
        await asyncio.sleep(SECONDS)
        await asyncio.sleep(0.3)
        simulator.close()
        log.close()
        replying.cancel()
        entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return Books(entries, heard, Counter(there.facts.refused), Counter(there.facts.counters))


@pytest.mark.parametrize("name", [*KEYS, *FAULTS])
def test_what_is_acknowledged_was_heard_with_exactly_its_values(books: Books, name: str) -> None:
    known = {json.dumps(entry["values"], sort_keys=True) for entry in books.sent(name)}
    acknowledged = set(books.answered(name))
    heard = [json.dumps(_texts(one), sort_keys=True) for one in books.of(name)]
    if name != "old":  # its codes are translated
        assert set(heard) <= known
    values = {e["qn"]: json.dumps(e["values"], sort_keys=True) for e in books.sent(name) if e["values"]}
    assert {values[qn] for qn in acknowledged} <= set(heard)
    assert len(heard) >= 2


@pytest.mark.parametrize("name", ["plain", "parts", "no-line-end", "cut", "offline", "stuck-clock"])
def test_every_packet_is_acknowledged_at_once(books: Books, name: str) -> None:
    data = [entry for entry in books.sent(name) if entry["label"]]
    assert all(entry["attempt"] == 1 for entry in data)
    assert len(data) - len(books.answered(name)) <= 1  # one may have been on its way at the end


@pytest.mark.parametrize("name", ["damaged-crc", "wrong-length", "garbage"])
def test_a_damaged_packet_is_acknowledged_once_it_was_sent_again(books: Books, name: str) -> None:
    struck = [entry for entry in books.sent(name) if name in entry["faults"]]
    assert struck
    again = [entry for entry in books.sent(name) if entry["attempt"] == 2]
    assert again
    assert set(books.answered(name)) & {entry["qn"] for entry in again}


def test_each_refusal_has_its_reason(books: Books) -> None:
    def struck(name: str) -> int:
        return sum(name in entry["faults"] for entry in books.sent(name))

    assert books.refused["crc"] == struck("damaged-crc")
    assert books.refused["station"] == struck("wrong-station")
    assert books.refused["password"] == struck("wrong-password")
    assert struck("wrong-length") - books.refused["length"] in (0, 1)  # the end of the last one may never have come
    assert set(books.refused) == {"crc", "station", "password", "length", "noise"}


def test_what_is_not_asked_for_is_not_answered(books: Books) -> None:
    for name in ("old", "silent"):
        assert not [entry for entry in books.log if entry["meter"] == name and "received" in entry]
        assert len(books.of(name)) >= len(books.sent(name)) - 1
    old = _texts(books.of("old")[0])
    assert {"a00000-Rtd", "a19001-Rtd", "a21026-ZsRtd"} <= set(old)


def test_notices_and_heartbeats_are_answered_and_are_no_messages(books: Books) -> None:
    received = [e["received"] for e in books.log if e["meter"] == "plain" and "received" in e]
    assert received.count("9013") == books.counters["notices"] >= 4
    assert {entry["cn"] for entry in books.sent("plain")} == {"1013", "9015", "2011"}


def test_parts_are_messages_of_their_own_and_have_one_label(books: Books) -> None:
    parts = books.of("parts")
    count = int(books.sent("parts")[0]["pnum"])
    assert count >= 3
    assert [one.token.part for one in parts[:count] if one.token] == list(range(1, count + 1))
    assert len({one.label_ms for one in parts[:count]}) == 1
    assert all(one.missing == frozenset() for one in parts[: count - 1])
    assert parts[count - 1].missing == {"so2", "o2", "flow"}  # a minute has no -Rtd


def test_an_outage_costs_no_message(books: Books) -> None:
    labels = [one.label_ms for one in books.of("offline")]
    assert len(labels) >= SECONDS - 2
    assert all(b is not None and a is not None and b - a == 1000 for a, b in pairwise(labels))


def test_a_copy_is_heard_with_the_same_token(books: Books) -> None:
    tokens = Counter(one.token for one in books.of("doubled"))
    assert max(tokens.values()) == 2


def _texts(heard: Heard) -> dict[str, str]:
    assert isinstance(heard.raw, dict)
    return {place: text for place, text in heard.raw.items() if place != PACKET_FLAG}
