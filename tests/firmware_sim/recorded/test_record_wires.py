"""Recording over real wires: a pseudo-terminal and a connection, with a simulator behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.meters.pdu import Read
from firmware_sim.recorded.client import Line, SerialWire, TcpWire, Wire
from firmware_sim.recorded.recording import Recording, read_recording
from tests.firmware_sim.sim_bench import Bench, running, scenario


def record(where: object, *words: object) -> Result:
    return CliRunner().invoke(main, ["record", *map(str, (where, *words))])


def shown_by(bench: Bench, meter: str) -> list[tuple[int, int, int, str]]:
    """Function, address, count and content of each answer that the simulator's log has of a meter."""
    lines = [line for line in bench.log() if line["meter"] == meter and line["exception"] is None]
    return [
        (x["fc"], x["address"], x["count"], x["answer"][6:-4] if x["line"] == "rs485-1" else x["answer"][18:])
        for x in lines
    ]


def held_by(recording: Recording) -> list[tuple[int, int, int, str]]:
    found = [(answer.read, answer.data) for answer in recording.answers if answer.data is not None]
    return [(read.fc, read.address, read.count, data.hex()) for read, data in found]


def test_a_recording_holds_what_the_meter_answered_and_only_reads_were_asked(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench:
        at = f"{bench.tcp[0]}:{bench.tcp[1]}"
        serial, tcp = tmp_path / "serial.jsonl", tmp_path / "tcp.jsonl"
        words = ("--profile", "vaisala-gmp252", "--unit", 240, "--for", 0, "--baud", 9600, "-o", serial)
        first = record(bench.serial, *words)
        assert first.exit_code == 0, first.output
        second = record(at, "--profile", "sunspec-inverter", "--for", "40ms", "--every", "20ms", "-o", tcp)
        assert second.exit_code == 0, second.output
        lines = bench.log()
        for path, meter in ((serial, "stack-co2"), (tcp, "pv-inverter")):
            recording = read_recording(path)
            assert held_by(recording) == shown_by(bench, meter) != []
        assert {line["fc"] for line in lines} <= {1, 2, 3, 4}
        assert recording.head.wire == {"host": bench.tcp[0], "port": bench.tcp[1]}
        assert (recording.head.profile, recording.head.unit, recording.head.every_ms) == ("sunspec-inverter", 1, 20)
        again = record(at, "--profile", "sunspec-inverter", "--for", 0, "-o", tcp)
        assert again.exit_code == 2
        assert read_recording(tcp) == recording


def test_exceptions_and_time_outs_are_lines_too(tmp_path: Path) -> None:
    faults = (
        '[[fault]]\nmeter = "pv-inverter"\nkind = "exception"\ncode = 6\nevery = 4\n'
        '[[fault]]\nmeter = "pv-inverter"\nkind = "lost"\nevery = 5\n'
    )
    with running(scenario(tmp_path, faults=faults)) as bench:
        path = tmp_path / "tcp.jsonl"
        words = ("--profile", "sunspec-inverter", "--for", 0, "--timeout", "400ms", "-o", path)
        result = record(f"{bench.tcp[0]}:{bench.tcp[1]}", *words)
        assert result.exit_code == 0, result.output
        answers = read_recording(path).answers
    kinds = [answer.exception or answer.timeout_ms or 0 for answer in answers]
    assert kinds[:5] == [0, 0, 0, 6, 400]
    assert json.loads(path.read_text().splitlines()[4])["exception"] == 6


def test_a_late_answer_is_never_taken_for_that_to_the_next_request(tmp_path: Path) -> None:
    late = '[[fault]]\nmeter = "export-main"\nkind = "late"\ndelay_ms = 300\n'
    with running(scenario(tmp_path, faults=late)) as bench:
        wire = SerialWire(str(bench.serial), Line(9600, "N", 1))
        try:
            assert [wire.ask(1, Read(4, address, 2), 0.2) for address in (0, 2)] == [None, None]
        finally:
            wire.close()


def test_a_wire_that_is_gone_is_a_time_out_and_opened_again(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench:
        wires: list[tuple[Wire, Read]] = [
            (SerialWire(str(bench.serial), Line(9600, "N", 1)), Read(4, 0, 2)),
            (TcpWire(*bench.tcp), Read(3, 40000, 2)),
        ]
        assert None not in [wire.ask(1, read, 5) for wire, read in wires]
    assert [wire.ask(1, read, 0.1) for wire, read in wires for _ in range(2)] == [None] * 4
    with running(scenario(tmp_path)) as bench:
        assert wires[0][0].ask(1, wires[0][1], 5) is not None
    for wire, _ in wires:
        wire.close()


@pytest.mark.parametrize(
    "words",
    [
        ("127.0.0.1:1", "--profile", "sunspec-inverter"),
        ("127.0.0.1:1", "--profile", "sunspec-inverter", "--baud", "9600"),
        ("127.0.0.1:70000", "--profile", "sunspec-inverter"),
        ("/dev/none", "--profile", "eastron-sdm630"),
        ("a:b:c", "--profile", "eastron-sdm630"),
        ("127.0.0.1:1", "--profile", "dlt645-three-phase"),
        ("127.0.0.1:1", "--profile", "eastron-sdm63"),
        ("127.0.0.1:1", "--profile", "eastron-sdm630", "--every", "0"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_no_file(words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "meter.jsonl"
    result = record(*words, "-o", path)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not path.exists()
