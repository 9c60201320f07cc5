"""`meterseal read` of a meter on a pseudo-terminal: what it waits for, what it shows, and its words for faults."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.budget import line_plan
from gateway.budget_view import print_plan
from gateway.cli import main
from gateway.cli_parts import console
from gateway.config import Config
from gateway.lines import line_specs
from tests.fieldbus.devices import Device, Pty, addresses, answer, refuse
from tests.gateway.samples import site

PROFILE = """
vendor = "Test"
device = "Far apart"
source = "made up for this test"
timeout_ms = 60
max_registers = 2
default_address = 7
[serial]
baudrate = 19200
parity = "E"
[defaults]
fc = 4
type = "uint32"
[points]
first = { address = 100, unit = "W" }
state = { address = 300, kind = "status", symbols = { 19661101 = "RUNNING" } }
"""
METER = "stack-co2"


@contextmanager
def wire(link: Path, device: Device) -> Iterator[Pty]:
    """A device on a pseudo-terminal, in a thread of its own: commands have loops of their own."""
    loop, made = asyncio.new_event_loop(), threading.Event()
    found: list[Pty] = []

    def begin() -> None:
        found.append(Pty(link, device))
        made.set()

    def serve() -> None:
        loop.call_soon(begin)
        loop.run_forever()

    thread = threading.Thread(target=serve)
    thread.start()
    made.wait()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(found[0].unplug)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return made(tmp_path, {})


def made(folder: Path, changes: Mapping[str, str]) -> Config:
    """A site of which one meter is read by PROFILE."""
    (folder / "apart.toml").write_text(PROFILE)
    usual = {
        'profile = "vaisala-gmp252"': 'profile = "../apart.toml"',
        "stopbits = 1": 'stopbits = 1\nanswer_life = "400ms"',
    }
    return site(folder / "site", {**usual, **changes})


def read(loaded: Config, device: Device, *options: str) -> Result:
    with wire(loaded.path.parent / "rs485-1", device):
        return CliRunner().invoke(main, ["read", str(loaded.path), METER, *options])


def only(address: int, otherwise: Callable[..., bytes]) -> Device:
    """A device that answers one register only, and the rest as it is told."""
    return lambda request: [(0.0, answer(request) if request.address == address else otherwise(request))]


def test_read_waits_for_a_shape_whatever_the_period_is(tmp_path: Path) -> None:
    """Two registers far apart that can be asked in one shape: the second waits an answer life, and a period is less."""
    fast = {'every = "10s"\n  role = "emission"': 'every = "200ms"\n  role = "emission"'}
    done = read(made(tmp_path, fast), addresses, "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [value["value"] for value in facts["values"]] == [100 << 16 | 101, 300 << 16 | 301]
    assert facts["failures"] == []
    assert f"{METER}: waiting 0.4 s" in done.stderr


def test_symbols_of_states_are_shown(loaded: Config) -> None:
    done = read(loaded, addresses)
    assert "19661101 (RUNNING)" in done.stdout
    assert json.loads(read(loaded, addresses, "--json").stdout)["values"][1]["symbol"] == "RUNNING"


def test_facts_true_of_all_points_are_said_once_below_the_table(loaded: Config) -> None:
    done = read(loaded, addresses)
    assert done.stdout.count("the meter does not tell its serial number") == 1
    *_, last = done.stdout.splitlines()
    assert last.startswith("all values are uncertain: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exception 01: it answers, and does not know function 4: function 3 instead?"),
        (2, "exception 02: it answers, and has no such register: function 3 instead of 4? counted from 1?"),
        (3, "exception 03: it answers, and refuses this number of registers"),
        (4, "exception 04: it answers, and fails to read it"),
    ],
)
def test_a_meter_that_refuses_is_not_silent(loaded: Config, code: int, words: str) -> None:
    done = read(loaded, lambda request: [(0.0, refuse(request, code))])
    assert done.exit_code == 1
    assert f"{METER}: it answers and refuses what is asked: function 4, registers 100 to 101: {words}" in done.stderr
    assert "no answer" not in done.stderr
    part = read(loaded, only(100, lambda request: refuse(request, code)))
    assert part.exit_code == 0
    assert f"function 4, registers 300 to 301: {words}" in part.stdout


def test_noise_is_told_from_silence(loaded: Config) -> None:
    done = read(loaded, lambda request: [(0.0, b"\xf8\x00\xfe\xf8\x80" * 8)])
    assert done.exit_code == 1
    assert "bytes that are no frame: speed, parity or A/B?" in done.stderr
    few = read(loaded, lambda request: [(0.0, b"\xf8\x00")])
    assert "bytes that are no frame: speed, parity or A/B?" in few.stderr


def test_read_says_where_the_bus_differs_from_the_profile(loaded: Config) -> None:
    done = read(loaded, lambda request: [])
    assert done.exit_code == 1
    for words in (
        "bus 'rs485-1' has baudrate 9600, apart is delivered with 19200",
        "bus 'rs485-1' has parity N, apart is delivered with E",
        f"{METER} is asked at address 240, apart is delivered with 7",
    ):
        assert words in done.stderr
    assert "stopbits" not in done.stderr


def test_check_says_where_a_bus_differs_from_the_profiles(loaded: Config) -> None:
    notes = line_plan(line_specs(loaded)[0]).notes
    assert notes == (
        "bus 'rs485-1' has baudrate 9600, apart is delivered with 19200",
        "bus 'rs485-1' has parity N, apart is delivered with E",
        f"{METER} is asked at address 240, apart is delivered with 7",
    )
    said = io.StringIO()
    print_plan(console(said), line_plan(line_specs(loaded)[0]))
    assert f"note: {notes[0]}" in said.getvalue()


def test_a_driver_that_refuses_parity_is_told_without_a_traceback(tmp_path: Path) -> None:
    loaded = made(tmp_path, {'parity = "N"': 'parity = "E"'})
    for _ in range(2):
        done = read(loaded, addresses)
        assert done.exit_code == 2
        assert "rs485-1: its driver refuses 9600 baud 8E1" in done.stderr
        assert 'write parity = "N"' in done.stderr
        assert "Traceback" not in done.output
