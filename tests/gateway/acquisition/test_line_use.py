"""What was asked by hand is waited out by whoever asks next, and what a gateway asked by who asks by hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.acquisition import line_use
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.doctor import run
from gateway.doctor.check import Finding
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.errors import PortError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.process import instance_lock
from gateway.startup import line_specs
from tests.gateway.fieldbus.devices import Pty, addresses, bus, refuse
from tests.support.epochs import epoch, until
from tests.support.gateways.apart import apart
from tests.support.samples import EPOCH, recorder, site

METER, LIFE_S = "export-main", 0.4


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """Two meters on a line that leads to a pseudo-terminal, and one behind a port that nobody listens on."""
    changes = {'every = "60s"': 'every = "10s"', "stopbits = 1": 'stopbits = 1\nanswer_life = "400ms"'}
    return site(tmp_path / "site", changes)


def line(loaded: Config) -> LineSpec:
    return line_specs.line_specs(loaded)[0]


async def poll(loaded: Config) -> Poll:
    (found,) = await line_use.poll_by_hand(loaded, line(loaded), [METER], Clock())
    return found


def waited(pty: Pty, since: int) -> bool:
    """Whether the question with this number came an answer life after the one before it."""
    return pty.responder.asked[since][0] - pty.responder.asked[since - 1][0] >= LIFE_S - 0.01


def test_two_reads_by_hand_keep_an_answer_life_between_them(loaded: Config) -> None:
    async def test() -> None:
        pty = Pty(Path(str(line(loaded).port)), addresses)
        assert (await poll(loaded)).answers
        first = len(pty.responder.asked)
        assert (await poll(loaded)).answers
        pty.unplug()
        assert waited(pty, first)

    asyncio.run(test())


def test_a_gateway_waits_for_what_was_asked_by_hand_and_then_forgets_it(loaded: Config) -> None:
    async def test() -> None:
        pty = Pty(Path(str(line(loaded).port)), addresses)
        await poll(loaded)
        first = len(pty.responder.asked)
        async with epoch(loaded):
            await until(lambda: len(pty.responder.asked) > first)
        pty.unplug()
        assert waited(pty, first)
        assert not (loaded.data / "asked.json").exists()

    asyncio.run(test())


def test_a_read_by_hand_waits_for_what_a_stopped_or_killed_gateway_asked(loaded: Config) -> None:
    clock = Clock()
    running, _ = recorder(loaded, clock, EPOCH)
    now_ms = clock.now_ms()
    assert line_use.used_until_ms(loaded, "anywhere", now_ms) == now_ms
    running.start()
    running.stop()
    later_ms = clock.now_ms() + 60_000
    stopped_ms = line_use.used_until_ms(loaded, "anywhere", later_ms)
    assert stopped_ms is not None
    assert clock.now_ms() - 2_000 <= stopped_ms < later_ms


def test_a_read_that_was_killed_counts_until_now_and_one_of_another_line_does_not(loaded: Config) -> None:
    loaded.data.mkdir()
    (loaded.data / "asked.json").write_text(json.dumps({"/dev/one": None, "/dev/two": 2_000}))
    assert line_use.used_until_ms(loaded, "/dev/one", 9_000) == 9_000
    assert line_use.used_until_ms(loaded, "/dev/two", 9_000) == 2_000
    assert line_use.used_until_ms(loaded, "/dev/two", 1_000) == 1_000
    assert line_use.used_until_ms(loaded, "/dev/three", 9_000) is None
    for broken in ("", "[]", '{"/dev/one": "x"}'):
        (loaded.data / "asked.json").write_text(broken)
        assert line_use.used_until_ms(loaded, "/dev/three", 9_000) == 9_000


def test_a_line_that_cannot_be_opened_was_not_asked(loaded: Config) -> None:
    with pytest.raises(PortError):
        asyncio.run(poll(loaded))
    assert not loaded.data.exists()


def found(loaded: Config, check: str) -> Finding:
    (one,) = (finding for finding in run.run_checks(loaded, Clock().now_ms(), pid=None) if finding.check == check)
    return one


def test_the_doctor_polls_each_meter_once_where_no_gateway_runs(loaded: Config) -> None:
    async def test() -> list[Finding]:
        pty = Pty(Path(str(line(loaded).port)), bus({1: addresses, 240: lambda request: [(0.0, refuse(request))]}))
        look = lambda: list(run.run_checks(loaded, Clock().now_ms(), pid=None))  # noqa: E731
        findings = await asyncio.to_thread(look)
        pty.unplug()
        return findings

    findings = {finding.check: finding for finding in asyncio.run(test())}
    assert findings["meter export-main"].result == "bad"  # it answers, and what it says is no measurement
    assert findings["meter export-main"].text.startswith("answers as")
    assert findings["meter stack-co2"].result == "bad"
    assert findings["meter stack-co2"].text.startswith("it rejects the request")
    assert "meter pv-inverter" not in findings
    assert findings["line inverters"].result == "bad"
    assert set(json.loads((loaded.data / "asked.json").read_text())) == {line(loaded).where}


def test_read_leaves_a_bridged_line_to_the_gateway_that_runs(loaded: Config) -> None:
    with instance_lock.take(loaded.data):
        done = apart("gateway.cli", "read", loaded.path, "pv-inverter")
    assert done.code == 2
    assert "the running gateway" in done.err
