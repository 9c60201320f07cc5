"""Source of HJ 212 over real sockets: what is heard, when it is answered, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from gateway.fieldbus.hj212 import connection, source
from gateway.fieldbus.hj212.connection import MOST_UNREPLIED
from gateway.fieldbus.hj212.packets import check_value, frame
from gateway.fieldbus.wire.errors import LineDown, PortError
from tests.gateway.fieldbus.hj212.loggers import BLOCKS, CHINA, NOW_MS, answer, in_loop, listening, packet, station

AT_16_MS = 1_800_000_000_000
"""2027-01-15 16:00:00 at +08:00."""


@in_loop
async def test_a_message_is_answered_when_its_record_is_durable_and_not_before() -> None:
    async with listening(station(), station(cn="2051")) as there:
        logger = await there.logger()
        logger.send(packet(), packet(cn="2051", qn="2"))
        heard, other = await there.heard(), await there.heard()
        assert (heard.unit, heard.block, other.block) == ("A1", BLOCKS["2011"], BLOCKS["2051"])
        assert (heard.completed_ms, heard.label_ms) == (NOW_MS, AT_16_MS)
        assert heard.raw == {
            "DataTime": "20270115160000", "a21026-Rtd": "1.5", "a21026-Flag": "N", "a19001-Rtd": "6", "a00000-Rtd": "3",
            "Flag": "5",
        }  # fmt: skip
        assert heard.token is not None
        assert heard.token[:2] == ("20270115160000", 1)
        assert heard.missing == frozenset()
        there.reply(other)
        assert await logger.got(len(answer(qn="2"))) == answer(qn="2")
        there.reply(heard)
        assert await logger.rest() == answer()


@in_loop
async def test_what_wants_no_answer_gets_none() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(packet(flag="Flag=4;"), packet(flag="", qn=""), packet(cn="9015", flag="Flag=4;"))
        for _ in range(2):
            there.reply(await there.heard())
        await there.until(notices=1)
        assert await logger.rest() == b""


@in_loop
async def test_a_notice_and_a_heartbeat_are_answered_at_once_and_other_commands_never() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(packet(cn="1013", cp=""), packet(cn="9015", cp="", qn="2"), packet(cn="2081"), packet(cn="9014"))
        both = answer(cn="9013") + answer(cn="9013", qn="2")
        assert await logger.rest() == both
        assert there.facts.counters == {"notices": 2, "commands": 2}
        assert there.facts.commands == {"2081": 1, "9014": 1}


@in_loop
async def test_a_repetition_is_heard_again_under_the_same_token_and_both_are_answered() -> None:
    async with listening() as there:
        first, second = await there.logger(), await there.logger()
        first.send(packet())
        heard = await there.heard()
        second.send(packet(qn="2"))
        again = await there.heard()
        assert again.token == heard.token
        there.reply(heard)
        assert await first.rest() == answer()
        assert await second.rest() == answer(qn="2")
        there.reply(again)


@in_loop
async def test_messages_without_a_time_of_their_own_are_told_apart_by_their_number() -> None:
    async with listening() as there:
        logger = await there.logger()
        cp = "a21026-Rtd=0"
        logger.send(packet(cp, qn="1"), packet(cp, qn="2"), packet(cp, qn="1"))
        tokens = [(await there.heard()).token for _ in range(3)]
        assert tokens[0] == tokens[2] != tokens[1]


@in_loop
async def test_a_logger_that_is_gone_is_not_answered_and_its_message_stands() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(packet())
        heard = await there.heard()
        logger.leave()
        async with asyncio.timeout(10):
            while there.source.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        there.reply(heard)
        assert not there.source._unreplied


@in_loop
async def test_no_more_is_read_while_four_messages_are_unreplied() -> None:
    async with listening() as there:
        logger, other = await there.logger(), await there.logger()
        logger.send(*(packet(qn=str(n), cp=f"DataTime=20270115160000;x={n}") for n in range(10)))
        heard = [await there.heard() for _ in range(MOST_UNREPLIED)]
        other.send(packet(qn="99"))
        heard_other = await there.heard()
        assert there.facts.counters["heard"] == MOST_UNREPLIED + 1
        assert heard_other.raw != heard[-1].raw
        for n in range(10):
            there.reply(heard[n])
            assert await logger.got(len(answer(qn=str(n)))) == answer(qn=str(n))
            if n + MOST_UNREPLIED < 10:
                heard.append(await there.heard())
        assert [one.raw["x"] for one in heard] == [str(n) for n in range(10)]  # type: ignore[call-overload]


@in_loop
async def test_what_is_not_recorded_is_not_answered_and_makes_room_for_its_repetition() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(*[packet(qn=str(n)) for n in range(8)])
        heard = [await there.heard() for _ in range(MOST_UNREPLIED)]
        assert heard[0].token is not None
        there.source.release("A1", heard[0].token)
        again = [await there.heard() for _ in range(MOST_UNREPLIED)]
        there.reply(again[0])
        assert await logger.rest() == b"".join(answer(qn=str(n)) for n in range(4, 8))


@in_loop
async def test_parts_are_heard_at_once_and_the_last_names_what_none_held() -> None:
    def part(n: int, cp: str) -> bytes:
        return packet(cp, qn=str(n), flag=f"Flag=7;PNUM=2;PNO={n};")

    async with listening() as there:
        logger = await there.logger()
        logger.send(part(1, "DataTime=20270115160000;a21026-Rtd=1"))
        first = await there.heard()
        there.reply(first)
        assert await logger.got(len(answer(qn="1"))) == answer(qn="1")
        logger.send(part(2, "a19001-Rtd=2"))
        last = await there.heard()
        assert [set(first.missing), set(last.missing)] == [set(), {"flow"}]
        assert (first.label_ms, last.label_ms) == (AT_16_MS, AT_16_MS)
        assert first.token is not None
        assert last.token is not None
        assert (first.token.part, last.token.part) == (1, 2)
        there.reply(last)
        logger.send(part(2, "a19001-Rtd=2"), packet("DataTime=20270115160100;a00000-Rtd=1"))
        again, single = await there.heard(), await there.heard()
        assert again.token == last.token
        assert again.missing == {"flow"}
        assert single.missing == {"so2", "o2"}


@in_loop
async def test_the_last_of_the_parts_may_come_first_and_without_all_nothing_is_missing() -> None:
    def part(n: int, of: int, cp: str) -> bytes:
        return packet(f"DataTime=20270115160000;{cp}", qn=str(n), flag=f"Flag=7;PNUM={of};PNO={n};")

    async with listening() as there:
        logger = await there.logger()
        logger.send(part(2, 2, "a19001-Rtd=2"), part(1, 2, "a00000-Rtd=2"), part(1, 3, "x=1"), part(3, 3, "x=1"))
        assert [set((await there.heard()).missing) for _ in range(4)] == [set(), {"so2"}, set(), set()]


@in_loop
async def test_times_are_local_to_the_bus() -> None:
    at_ms = []
    for zone in (CHINA, timezone(timedelta(hours=1)), ZoneInfo("Europe/Berlin")):
        async with listening(zone=zone) as there:
            logger = await there.logger()
            logger.send(packet("DataTime=20270715160000"), packet("DataTime=20271315160000"), packet("DataTime=2027"))
            at_ms += [(await there.heard()).label_ms for _ in range(3)]
    summer_ms = 1_815_638_400_000
    assert at_ms == [
        summer_ms,
        None,
        None,
        summer_ms + 7 * 3_600_000,
        None,
        None,
        summer_ms + 6 * 3_600_000,
        None,
        None,
    ]


@in_loop
async def test_what_is_refused_is_counted_and_kept_and_the_connection_goes_on() -> None:
    async with listening(station(password="secret"), station("B2")) as there:
        logger = await there.logger()
        good, wrong = packet(pw="secret"), packet(pw="sesame")
        changed = good.replace(b"a21026-Rtd=1.5", b"a21026-Rtd=9.5")
        logger.send(packet(mn="C3"), wrong, packet(mn="B2", flag="Flag=9;"), changed, b"noise\r\n")
        logger.send(packet(mn="B2", flag="Flag=7;"), b"##0033" + good[6:], good)
        heard = await there.heard()
        there.reply(heard)
        assert await logger.rest() == answer(pw="secret")
        reasons = ["station", "password", "version", "crc", "noise", "form", "length"]
        refused = there.refused()
        assert [one["reason"] for one in refused] == reasons
        assert (there.facts.counters, there.facts.refused) == ({"heard": 1}, dict.fromkeys(reasons, 1))
        assert there.facts.strays == {"foreign": 3, "damaged": 3, "noise": 1}
        assert {one["peer"] for one in refused} == {logger.name}
        assert {one["time_ms"] for one in refused} == {NOW_MS}
        assert [one.get("mn") for one in refused] == ["C3", "A1", "B2", None, None, "B2", None]
        segment = len(changed) - 12
        assert (refused[3]["crc_given"], refused[3]["crc_found"]) == (
            changed[-6:-2].decode(), f"{check_value(changed[6:-6]):04X}",
        )  # fmt: skip
        assert (refused[6]["length_given"], refused[6]["length_found"]) == (33, segment)
        assert refused[5]["detail"] == "field PNUM is missing"
        assert not any(word in str(refused) for word in ("secret", "sesame", "123456"))
        assert refused[0]["begin"].startswith("##")
        assert "PW=…;MN=C3" in refused[0]["begin"]


@in_loop
async def test_no_password_is_kept_however_it_is_written() -> None:
    async with listening(station()) as there:
        logger = await there.logger()
        logger.send(frame(b"MN=C3;ST=31;CN=2011;PW =123456;CP=&&a21026-Rtd=1&&"))
        logger.send(packet())
        await there.heard()
        (refused,) = there.refused()
        assert "PW=…;CP" in refused["begin"]
        assert "123456" not in str(refused)


@in_loop
async def test_the_last_hundred_are_kept() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(*(packet(mn=f"X{n}", cp="") for n in range(130)))
        await there.until(station=130)
        assert [one["mn"] for one in there.refused()] == [f"X{n}" for n in range(30, 130)]


@in_loop
async def test_a_notice_bears_the_password_of_its_station() -> None:
    async with listening(station(password="one")) as there:
        logger = await there.logger()
        logger.send(packet(cn="9015", pw="no", cp=""), packet(cn="9015", pw="one", cp=""))
        assert await logger.rest() == answer(cn="9013", pw="one")
        assert (there.facts.counters, there.facts.refused) == ({"notices": 1}, {"password": 1})


@in_loop
async def test_connections_out_of_other_networks_are_refused() -> None:
    async with listening(networks=("127.0.0.2/32",)) as there:
        for _ in range(3):
            assert await (await there.logger()).closed() == b""
        logger = await there.logger("127.0.0.2")
        logger.send(packet())
        there.reply(await there.heard())
        assert await logger.rest() == answer()
        assert [one["reason"] for one in there.refused()] == ["network"]
        assert there.facts.refused == {"network": 3}


@in_loop
async def test_a_packet_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNENDED_S", 0.05)
    async with listening() as there:
        logger = await there.logger()
        logger.send(packet()[:60])
        await there.until(unended=1)
        logger.send(packet()[60:], packet())
        there.reply(await there.heard())
        assert await logger.rest() == answer()
        assert [one["reason"] for one in there.refused()] == ["unended", "noise"]  # its rest came too late


@in_loop
async def test_behind_a_silence_a_message_is_heard_however_many_packets_had_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "UNENDED_S", 0.05)
    async with listening() as there:
        logger = await there.logger()
        logger.send(b"\r\n##9999" * 200)
        await there.until(unended=1)
        logger.send(packet())
        there.reply(await there.heard())
        assert await logger.rest() == answer()
        assert [one["reason"] for one in there.refused()] == ["unended"]


@in_loop
async def test_who_sends_too_much_is_read_later_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BURST", 20_000)
    monkeypatch.setattr(connection, "RATE", 1_000_000)
    async with listening() as there:
        logger = await there.logger()
        logger.send(*(packet(cn="9015", cp="", qn=str(n)) for n in range(300)))
        expected = b"".join(answer(cn="9013", qn=str(n)) for n in range(300))
        assert await logger.rest() == expected


@in_loop
async def test_factors_that_no_point_stands_for_are_listed() -> None:
    async with listening() as there:
        logger = await there.logger()
        logger.send(packet("DataTime=20270115160000;a21003-Rtd=1,a21003-Flag=N;02-ZsRtd=1;04-Rtd=3"))
        await there.heard()
        assert there.facts.as_json()["unnamed"] == {"A1-2011": ["a21003", "a21005"]}


@in_loop
async def test_a_source_that_is_closed_hears_no_more_and_an_address_in_use_is_named() -> None:
    async with listening() as there:
        logger = await there.logger()
        hearing = asyncio.create_task(there.source.hear())
        await asyncio.sleep(0)
        other = source.Hj212Source([station()], CHINA, lambda: NOW_MS, there.facts)
        with pytest.raises(PortError, match=f"127.0.0.1:{there.source.tcp_port}: another process listens there"):
            await other.open("127.0.0.1", there.source.tcp_port)
        there.source.close()
        with pytest.raises(LineDown):
            await hearing
        assert await logger.closed() == b""
