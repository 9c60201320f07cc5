"""One message of a station, heard by hand: shown and not acknowledged; or why there was none."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.acquisition.message_by_hand import hear_by_hand, sends
from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.errors import NotYet
from gateway.fieldbus.hj212.packets import frame
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.startup.line_specs import line_specs
from ledger_client.formats.senml import Quality
from tests.support.gateways.pushed_profiles import write_profiles
from tests.support.processes import free_port

SITE = """
[gateway]
id = "g"
[[bus]]
name = "cems"
type = "hj212"
listen = "127.0.0.1:{port}"
  [[bus.meter]]
  name = "stack"
  profile = "hj212.toml"
  address = "A1"
  password = "123456"
"""


@pytest.fixture
def line(tmp_path: Path) -> LineSpec:
    write_profiles(tmp_path)
    path = tmp_path / "gateway.toml"
    path.write_text(SITE.format(port=free_port()))
    (spec,) = line_specs(load_config(path))
    return spec


OXYGEN = "DataTime=20270115160000;a19001-Rtd=6.25,a19001-Flag=N"


def packet(mn: str = "A1", cn: str = "2011", cp: str = f"{OXYGEN};a01012-Rtd=120.5,a01012-Flag=N") -> bytes:
    return frame(f"QN=20270115160001000;ST=31;CN={cn};PW=123456;MN={mn};Flag=5;CP=&&{cp}&&".encode())


def heard(line: LineSpec, within_s: float, *packets: bytes) -> tuple[Poll, bytes]:
    """What was heard of these packets, and what was answered to the logger."""

    async def run() -> tuple[Poll, bytes]:
        assert line.listen is not None
        hearing = asyncio.create_task(hear_by_hand(line, "stack", Clock(), within_s))
        while True:
            await asyncio.sleep(0.01)
            try:
                reader, writer = await asyncio.open_connection(*line.listen)
                break
            except ConnectionError:
                assert not hearing.done(), "it listens before it ends"
        for data in packets:
            writer.write(data)
        try:
            return await hearing, await reader.read()
        finally:
            writer.close()

    return asyncio.run(run())


def test_a_message_is_shown_and_nothing_is_answered(line: LineSpec) -> None:
    assert sends(line)
    poll, answered = heard(line, 20, packet(cn="2051"), packet())
    (answer,) = poll.answers
    assert str(answer.block.label()) == "CN 2011"
    assert answer.block.shown(answer.raw) == {"o2": "6.25 N", "temperature": "120.5 N"}
    assert answered == b""
    assert poll.label_ms is not None, "it is not called cached"


def test_what_a_message_does_not_hold_is_not_found_as_in_a_record(line: LineSpec) -> None:
    poll, _ = heard(line, 20, packet(cp=OXYGEN))
    (answer,), (failure,) = poll.answers, poll.failures
    assert [point.name for point in answer.block.points] == ["o2"]
    assert ([point.name for point in failure.block.points], failure.flag) == (["temperature"], Quality.NOT_FOUND)


def test_what_was_refused_meanwhile_is_told(line: LineSpec) -> None:
    with pytest.raises(NotYet) as caught:
        heard(line, 0.5, packet(mn="B2"), packet()[:-6] + b"0000\r\n")
    assert line.listen is not None
    where, reasons = f"127.0.0.1:{line.listen[1]}", ("crc 1", "station 1")
    assert caught.value.message == Message("read-only-refused", meter="stack", where=where, reasons=reasons)
    assert "`from`" in caught.value.way_out


def test_a_port_without_any_message_is_told(line: LineSpec) -> None:
    with pytest.raises(NotYet) as caught:
        heard(line, 0.2)
    assert line.listen is not None
    where = f"127.0.0.1:{line.listen[1]}"
    assert caught.value.message == Message("read-nothing-sent", meter="stack", where=where, within_s=0)
    assert "this port" in caught.value.way_out
    socket.create_server(line.listen).close()  # and it is let go again
