"""`meterseal read` of a meter on a pseudo-terminal: what it waits for, what it shows, and its words for faults."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.terminal.plan_view import print_plan
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.modbus.frames import Request
from gateway.process.console import console
from gateway.startup.line_plan import line_plan
from gateway.startup.line_specs import line_specs
from tests.gateway.fieldbus.devices import Device, Pty, Sent, addresses, answer, refuse
from tests.support.commands import Answer, gateway_command
from tests.support.samples import site
from tests.system.machine_contract import answer_keys, published_keys

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


def read(loaded: Config, device: Device, *options: str) -> Answer:
    with wire(loaded.path.parent / "rs485-1", device):
        return gateway_command("read", loaded.path, METER, *options)


def only(address: int, otherwise: Callable[..., bytes]) -> Device:
    """A device that answers one register only, and the rest as it is set."""
    return lambda request: [(0.0, answer(request) if request.address == address else otherwise(request))]


def test_read_waits_for_a_shape_whatever_the_period_is(tmp_path: Path) -> None:
    """Two registers far apart that can be asked in one shape: the second waits an answer life, and a period is less."""
    fast = {'every = "10s"\n  role = "emission"': 'every = "200ms"\n  role = "emission"'}
    done = read(made(tmp_path, fast), addresses, "--json")
    assert done.code == 0, done.err
    facts = done.facts
    assert answer_keys(facts) == published_keys("meterseal read")
    assert [value["value"] for value in facts["values"]] == [100 << 16 | 101, 300 << 16 | 301]
    assert facts["failures"] == []
    assert f"{METER}: waiting 0.4 s" in done.err


def test_symbols_of_states_are_shown(loaded: Config) -> None:
    done = read(loaded, addresses)
    assert "19661101 (RUNNING)" in done.out
    assert json.loads(read(loaded, addresses, "--json").out)["values"][1]["symbol"] == "RUNNING"


ODD = """
vendor = "Test"
device = "Odd"
source = "made up for this test"
[defaults]
fc = 4
[points]
ones = { address = 0, type = "uint32", unit = "W" }
least = { address = 2, type = "int16", unit = "W" }
most = { address = 3, type = "int32", unit = "W", word_order = "little" }
tiny = { address = 5, type = "float32", unit = "W" }
huge = { address = 7, type = "float32", unit = "W" }
coded = { address = 9, type = "uint16", unit = "W", not_available = [65535] }
good = { address = 10, type = "uint16", unit = "W" }
zero = { address = 11, type = "float32", unit = "W" }
state = { address = 13, type = "uint16", kind = "status" }
"""
ODD_REGISTERS = (
    *(0xFFFF, 0xFFFF, 0x8000, 0xFFFF, 0x7FFF, 0x0000, 0x435C),  # the last two are 220.0 with its words exchanged
    *(0x7F00, 0x0000, 0xFFFF, 230, 0x8000, 0x0000, 0xFFFF),
)


def odd(request: Request) -> Sent:
    words = ODD_REGISTERS[request.address : request.address + request.count]
    return [(0.0, answer(request, struct.pack(f">{request.count}H", *words)))]


def test_read_marks_what_a_meter_seldom_means(tmp_path: Path) -> None:
    loaded = made(tmp_path, {})
    (tmp_path / "apart.toml").write_text(ODD)
    held = load_config(loaded.path)
    done = read(held, odd)
    assert done.code == 0, done.err
    printed = " ".join(done.out.split())
    code = "is a common code for no value, but this profile does not list it"
    asked = "check the word order, and for an address off by one"
    for pattern, name in (("FFFFFFFF", "ones"), ("8000", "least"), ("7FFFFFFF", "most")):
        assert f"{name}: 0x{pattern} {code}: {asked}" in printed
    assert f"tiny, huge: a float of this size is hardly a measured value: {asked}" in printed
    assert f"state: 0xFFFF {code}: {asked}" in printed
    assert printed.count(asked) == 5
    values = json.loads(read(held, odd, "--json").out)["values"]
    marked = {value["name"] for value in values if value["remark"]}
    assert marked == {"ones", "least", "most", "tiny", "huge", "state"}


def test_facts_true_of_all_points_are_said_once_below_the_table(loaded: Config) -> None:
    done = read(loaded, addresses)
    assert done.out.count("the meter does not tell its serial number") == 1
    *_, last = done.out.splitlines()
    assert last.startswith("all values are uncertain: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exception 01: it does not support function 4; try function 3"),
        (
            2,
            "exception 02: it has no such register; try function 3 instead of 4, and check whether the map",
        ),
        (3, "exception 03: it rejects this number of registers"),
        (4, "exception 04: it cannot read the registers"),
    ],
)
def test_a_meter_that_refuses_is_not_silent(loaded: Config, code: int, words: str) -> None:
    done = read(loaded, lambda request: [(0.0, refuse(request, code))])
    assert done.code == 1
    assert f"{METER}: it rejects the request: function 4, registers 100 to 101: {words}" in done.err
    assert "no answer" not in done.err
    part = read(loaded, only(100, lambda request: refuse(request, code)))
    assert part.code == 0
    assert f"function 4, registers 300 to 301: {words}" in part.out


def test_noise_is_told_from_silence(loaded: Config) -> None:
    done = read(loaded, lambda request: [(0.0, b"\xf8\x00\xfe\xf8\x80" * 8)])
    assert done.code == 1
    assert "bytes that form no frame (wrong speed, parity or A/B?)" in done.err
    few = read(loaded, lambda request: [(0.0, b"\xf8\x00")])
    assert "bytes that form no frame (wrong speed, parity or A/B?)" in few.err


def test_read_says_where_the_bus_differs_from_the_profile(loaded: Config) -> None:
    done = read(loaded, lambda request: [])
    assert done.code == 1
    for words in (
        "bus 'rs485-1' has baudrate 9600; the factory setting of apart is 19200",
        "bus 'rs485-1' has parity N; the factory setting of apart is E",
        f"{METER} has address 240; the factory setting of apart is 7",
    ):
        assert words in done.err
    assert "stopbits" not in done.err


def test_check_says_where_a_bus_differs_from_the_profiles(loaded: Config) -> None:
    *notes, unbounded = map(str, line_plan(line_specs(loaded)[0]).notes)
    assert unbounded.startswith("profile apart: first have neither")
    assert notes == [
        "bus 'rs485-1' has baudrate 9600; the factory setting of apart is 19200",
        "bus 'rs485-1' has parity N; the factory setting of apart is E",
        f"{METER} has address 240; the factory setting of apart is 7",
    ]
    printed = io.StringIO()
    print_plan(console(printed), line_plan(line_specs(loaded)[0]))
    assert f"note: {notes[0]}" in printed.getvalue()


def test_a_driver_that_refuses_parity_is_told_without_a_traceback(tmp_path: Path) -> None:
    loaded = made(tmp_path, {'parity = "N"': 'parity = "E"'})
    for _ in range(2):
        done = read(loaded, addresses)
        assert done.code == 2
        assert "rs485-1: its driver rejects 9600 baud 8E1" in done.err
        assert 'set parity = "N"' in done.err
        assert "Traceback" not in done.output
