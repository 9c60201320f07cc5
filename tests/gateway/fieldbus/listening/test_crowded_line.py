"""A bus of HJ 212 stations with too many connections: the alarm, and that the process may open as many as it needs."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from gateway.clock import Clock
from gateway.devices.profile import load_profile
from gateway.errors import GatewayError
from gateway.fieldbus.hj212.source_kind import Hj212Kind
from gateway.fieldbus.listening import listen_alarms
from gateway.fieldbus.listening.listen_line import ListenLine
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire import listener
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.startup.preflight import demand_files
from tests.gateway.fieldbus.devices import Polls, free_port
from tests.gateway.fieldbus.hj212.loggers import packet
from tests.gateway.fieldbus.listening.test_listen_line import until


def stacks(port: int, *stations: str) -> LineSpec:
    """A bus of these stations."""
    profile = load_profile("hj212-cems-realtime")
    meters = tuple(MeterSpec(f"stack-{mn}", profile, mn, 60_000, profile.select()) for mn in stations)
    zone = timezone(timedelta(hours=8))
    return LineSpec("cems", "hj212", meters, listen=("127.0.0.1", port), timezone=zone)


def test_too_many_connections_are_an_alarm_that_names_the_station_that_holds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "FEWEST_CONNECTIONS", 3)
    monkeypatch.setattr(listen_alarms, "CROWDED_MS", 300)

    async def work() -> None:
        alarms, clock = list[Alarm](), Clock()
        line = ListenLine(stacks(free_port(), "A1", "B2"), Hj212Kind(), clock, Polls().take, on_alarm=alarms.append)
        running = asyncio.create_task(line.run(clock.now_ms()))
        writers: list[asyncio.StreamWriter] = []
        where = line.spec.listen or pytest.fail("it listens")
        await until(lambda: line._source)
        for n in range(5):
            writers.append((await asyncio.open_connection(*where))[1])
            writers[-1].write(packet(mn="A1", qn=str(n), cp="a21026-Rtd=1"))
            await until(lambda n=n: line.facts.counters["heard"] == n + 1)  # type: ignore[misc, union-attr]
        await until(lambda: alarms)
        assert (alarms[0].code, alarms[0].meter, alarms[0].raised) == ("too-many-connections", None, True)
        for part in ("cems", "limit 4", "station A1 (stack-A1) holds 4", "127.0.0.1"):
            assert part in alarms[0].text
        await until(lambda: len(alarms) > 1)
        assert (alarms[1].code, alarms[1].raised) == ("too-many-connections", False)
        line.request_stop()
        await running
        for writer in writers:
            writer.close()

    asyncio.run(work())


def test_what_the_process_may_not_open_is_refused_with_the_setting_that_allows_it() -> None:
    many = stacks(1, *(f"S{n}" for n in range(1000)))
    command = ["bash", "-c", "ulimit -n 2000; echo; read"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"\n"
        with pytest.raises(GatewayError) as refused:
            demand_files([many], shell.pid)
        demand_files([replace(many, meters=many.meters[:500])], shell.pid)
        shell.communicate(b"\n")
    assert refused.value.message == Message("files-limit", limit=2000, needed=2257, lines=("cems",))
    assert "LimitNOFILE=2257" in str(refused.value)
