"""Too many connections to a listener of HJ 212 stations: which are closed, that every station is heard, and who is
named."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass, field

import pytest

from gateway.fieldbus.hj212 import source
from gateway.fieldbus.hj212.connection_table import ConnectionTable, Holder
from gateway.fieldbus.wire import listener
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.listener import HighSocket, listening_socket, most_connections
from gateway.fieldbus.wire.source import Crowded
from gateway.process.open_files import SELECTABLE, allow
from tests.gateway.fieldbus.hj212.loggers import (
    Logger,
    answer,
    in_loop,
    listening,
    packet,
    station,
)


@dataclass(eq=False)
class Plain:
    """What a table holds of a connection."""

    host: str
    name: str = ""
    stations: set[Unit] = field(default_factory=set)


def table(*connections: tuple[str, str, str]) -> tuple[ConnectionTable[Plain], list[Plain]]:
    """Connections of (address, name, stations that speak on it, one a letter), in this order."""
    found, all_of_it = ConnectionTable[Plain](), []
    for host, name, stations in connections:
        all_of_it.append(one := Plain(host, name))
        found.add(one)
        for mn in stations:
            found.heard(one, mn)
    return found, all_of_it


def closed(found: ConnectionTable[Plain]) -> str:
    """The name of the one that is closed."""
    (one, _), before = found.superfluous() or pytest.fail("nothing is closed"), len(found)
    assert found.remove(one)
    assert not found.remove(one)
    assert len(found) == before - 1
    return one.name


def test_of_a_station_with_several_the_ones_silent_the_longest_go_and_never_the_last_that_it_spoke_on() -> None:
    found, (first, *_) = table(
        ("h", "a1", "A"), ("h", "a2", "A"), ("h", "a3", "A"), ("h", "b", "B"), ("i", "quiet", "")
    )
    found.heard(first, "A")
    assert found.superfluous() == (next(one for one in found if one.name == "a2"), Holder("A", "h", 3))
    assert [closed(found) for _ in range(3)] == ["a2", "a3", "quiet"]
    assert {one.name for one in found} == {"a1", "b"}
    assert found.connected("A")
    assert found.superfluous() is None


def test_what_has_said_nothing_goes_first_where_it_is_more_than_half_and_the_address_with_most_of_it_is_named() -> None:
    found, _ = table(
        ("h", "a1", "A"), ("h", "a2", "A"), ("i", "i1", ""), ("j", "j1", ""), ("j", "j2", ""), ("j", "j3", "")
    )
    assert (found.superfluous() or (None, None))[1] == Holder(None, "j", 3)
    assert [closed(found) for _ in range(5)] == ["j1", "j2", "a1", "i1", "j3"]


def test_a_connection_of_several_stations_stays_while_one_of_them_has_no_other() -> None:
    found, _ = table(("h", "both", "AB"), ("h", "a", "A"))
    assert found.superfluous() is None
    newer = Plain("h", "b")
    found.add(newer)
    found.heard(newer, "B")
    assert closed(found) == "both"


def test_whatever_comes_at_most_one_connection_a_station_is_kept_and_a_newcomer_finds_room() -> None:
    chance = random.Random(212)
    for _ in range(200):
        found, last = ConnectionTable[Plain](), dict[str, Plain]()
        for n in range(60):
            if len(found) >= 20:
                one, holder = found.superfluous() or pytest.fail("there is no room")
                assert one not in last.values(), "the last one that a station spoke on"
                assert holder.connections > 0
                found.remove(one)
            connection = Plain(chance.choice("hij"), str(n))
            found.add(connection)
            for mn in chance.sample("ABCDEFGHIJ", chance.choice([0, 1, 1, 1, 2])):
                found.heard(connection, mn)
                last[mn] = connection


@in_loop
async def test_a_station_that_leaks_connections_keeps_no_other_one_out_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty stations, one of which opens a connection for each of its packets and never closes one."""
    monkeypatch.setattr(listener, "FEWEST_CONNECTIONS", 30)
    monkeypatch.setattr(source, "CROWDED_MS", 0)
    chance = random.Random(5)
    names = [f"S{n}" for n in range(20)]
    async with listening(*(station(name) for name in names)) as there:
        assert most_connections(len(names)) == 40
        leaked: list[Logger] = []
        for n in range(60):
            leaked.append(await there.logger())
            leaked[-1].send(packet(mn="S0", qn=str(n), cp=f"DataTime=20270115160000;x={n}"))
            there.reply(await there.heard())
            assert await leaked[-1].got(len(answer(mn="S0", qn=str(n)))) == answer(mn="S0", qn=str(n))
        others = chance.sample(names[1:], len(names) - 1)
        each = [await there.logger() for _ in others]
        for name, logger in zip(others, each, strict=True):
            logger.send(packet(mn=name))
            there.reply(await there.heard())
            assert await logger.got(len(answer(mn=name))) == answer(mn=name)
        assert all(there.source.connected(name) for name in names)
        assert there.facts.refused == {"connections": 60 + len(others) - 40}
        assert {one["mn"] for one in there.refused()} == {"S0"}
        assert there.crowded[0] == Crowded("S0", "127.0.0.1", 40, 40)
        assert {crowded.unit for crowded in there.crowded} == {"S0"}


@in_loop
async def test_a_flood_of_connections_that_say_nothing_keeps_no_station_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FEWEST_CONNECTIONS", 30)
    async with listening(station("A1"), station("B2")) as there:
        known = await there.logger("127.0.0.2")
        known.send(packet(cn="9015", cp=""))
        await known.got(len(answer(cn="9013")))
        flood = [await there.logger() for _ in range(70)]
        late = await there.logger("127.0.0.3")
        late.send(packet(mn="B2"), packet(mn="B2", qn="2"))
        for qn in ("20270115160001000", "2"):
            there.reply(await there.heard())
            assert await late.got(len(answer(mn="B2", qn=qn))) == answer(mn="B2", qn=qn)
        known.send(packet())
        there.reply(await there.heard())
        assert await known.got(len(answer())) == answer()
        assert await flood[0].closed() == b""
        assert {(crowded.unit, crowded.host) for crowded in there.crowded} == {(None, "127.0.0.1")}


def test_connections_leave_the_low_descriptors_to_what_needs_them() -> None:
    assert allow(SELECTABLE + 100) > SELECTABLE
    waiting = HighSocket.of(listening_socket("127.0.0.1", 0))
    with socket.create_connection(waiting.getsockname()) as caller:
        waiting.setblocking(True)
        taken, address = waiting.accept()
        assert address == caller.getsockname()
        assert taken.fileno() >= SELECTABLE
        caller.sendall(b"x")
        assert os.read(taken.fileno(), 1) == b"x"
        taken.close()
    waiting.close()
