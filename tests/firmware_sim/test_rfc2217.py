"""The RFC 2217 device server, opened by pyserial, and asked order by order over a bare socket."""

from __future__ import annotations

# not quick: pyserial's client sleeps between its orders
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.errors import ScenarioError, WireError
from firmware_sim.meters import pdu
from firmware_sim.meters.device import Outcome
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.pair import Pair
from firmware_sim.wire.telnet import IAC, SB, SE, Telnet, escaped
from firmware_sim.wire.uart import SECOND_NS, Receiver, Uart
from tests.firmware_sim.sim_bench import PATIENCE_S, Serial, simulating

pytestmark = pytest.mark.filterwarnings("ignore:set:DeprecationWarning")  # pyserial names its thread so
VOLTAGES, SIZE = pdu.rtu(1, bytes.fromhex("0400000006")), 17
PARITY, FRAMING = 4, 8
LINE = """
[[bus]]
name = "cabinet"
type = "modbus-rtu"
port = {port}
{keys}
  [[bus.meter]]
  name = "main"
  profile = "eastron-sdm630"
  address = 1
  serial = "21043387"
  {meter}
{rest}
"""
PROBE = """
  [[bus.meter]]
  name = "probe"
  profile = "vaisala-gmp252"
  address = 240
  {keys}
"""
OTHER_MASTER = """
  [[bus.disturb]]
  kind = "second-master"
  unit = 1
  every_ms = {every_ms}
"""


class Cabinet:
    """One simulated line: where it is, and what its meters answered."""

    def __init__(self, line: dict[str, Any], log: Path) -> None:
        self.line, self._log = line, log

    def log(self) -> list[dict[str, Any]]:
        """The answer log so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def until(self, answers: int) -> None:
        """Wait until so many answers have begun."""
        ends = time.monotonic() + PATIENCE_S
        while len(self.log()) < answers:
            assert time.monotonic() < ends, "no answer"
            time.sleep(0.002)

    @contextmanager
    def pyserial(self, baudrate: int, parity: str = "N", stopbits: int = 1) -> Iterator[Any]:
        """pyserial's client at these settings."""
        port = serial.serial_for_url(
            self.line["url"], baudrate=baudrate, parity=parity, stopbits=stopbits, timeout=PATIENCE_S
        )
        with port:
            yield port

    @contextmanager
    def bare(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection((self.line["host"], self.line["port"]), PATIENCE_S) as connection:
            yield connection


@contextmanager
def cabinet(
    folder: Path, keys: str = "", meter: str = "", rest: str = "", *, port: str = "0\nrfc2217 = true"
) -> Iterator[Cabinet]:
    """A line with a meter, for as long as the block lasts."""
    path = folder / "plant.toml"
    path.write_text(LINE.format(port=port, keys=keys, meter=meter, rest=rest))
    with simulating(path) as simulator:
        yield Cabinet(simulator.ready()["lines"]["cabinet"], folder / "answers.jsonl")


def answered(port: Any, question: bytes, size: int) -> bytes:
    """What comes back for a question."""
    port.write(question)
    return bytes(port.read(size))


def quiet(port: Any) -> bytes:
    """What comes within a time in which an answer would have come several times over."""
    port.timeout = 0.2
    return bytes(port.read(64))


def burst(port: Any) -> bytes:
    """What comes from the first byte on until a pause."""
    first = bytes(port.read(1))
    return first + quiet(port)


def test_pyserial_reads_a_meter_at_its_settings_and_at_no_others(tmp_path: Path) -> None:
    with cabinet(tmp_path, 'baudrate = 38400\nparity = "E"') as line:
        with line.pyserial(38400, "E") as port:
            answer = answered(port, VOLTAGES, SIZE)
            assert (port.cts, port.dsr, port.cd, port.ri) == (True, True, True, False)
            assert [entry["answer"] for entry in line.log()] == [answer.hex()]
            assert list(line.log()[0]["values"].values()) == list(struct.unpack(">3f", answer[3:15]))
            for baudrate, parity in ((38400, "N"), (38400, "O"), (9600, "O"), (115200, "O")):
                port.apply_settings({"baudrate": baudrate, "parity": parity})
                port.write(VOLTAGES)
                assert quiet(port) == b"", (baudrate, parity)
        assert len(line.log()) == 1


def test_meters_at_settings_of_their_own_share_a_line(tmp_path: Path) -> None:
    probe = PROBE.format(keys='baudrate = 19200\n  parity = "E"')
    with cabinet(tmp_path, "baudrate = 57600", "stopbits = 2", probe) as line:
        with line.pyserial(57600, stopbits=2) as port:
            assert answered(port, VOLTAGES, SIZE)[:3] == b"\x01\x04\x0c"
        with line.pyserial(19200, "E") as port:
            assert answered(port, pdu.rtu(240, bytes.fromhex("0300000002")), 9)[:3] == b"\xf0\x03\x04"
    assert [entry["unit"] for entry in line.log()] == [1, 240]


def test_settings_change_while_the_port_is_open(tmp_path: Path) -> None:
    with cabinet(tmp_path, "baudrate = 19200") as line, line.pyserial(9600, "E") as port:
        port.write(VOLTAGES)
        assert quiet(port) == b""
        port.timeout = PATIENCE_S
        port.baudrate, port.parity = 19200, "N"
        assert answered(port, VOLTAGES, SIZE)[:3] == b"\x01\x04\x0c"


def test_a_meter_that_takes_any_parity_answers_with_its_own(tmp_path: Path) -> None:
    with (
        cabinet(tmp_path, 'baudrate = 19200\nparity = "E"', "checks_parity = false") as line,
        line.pyserial(19200, "O") as port,
    ):
        port.rfc2217_send_subnegotiation(b"\x0a", b"\xff")  # SET-LINESTATE-MASK
        answer = answered(port, VOLTAGES, SIZE)
        assert answer == bytes.fromhex(line.log()[0]["answer"])
        assert port._linestate & (PARITY | FRAMING) == PARITY


def test_other_traffic_is_misread_as_a_uart_does_and_the_state_of_the_line_is_told(tmp_path: Path) -> None:
    traffic = OTHER_MASTER.format(every_ms=60)
    question = pdu.rtu(1, bytes.fromhex("0300000002"))
    with (
        cabinet(tmp_path, 'baudrate = 19200\nparity = "E"', rest=traffic) as line,
        line.pyserial(19200, "E") as port,
    ):
        seen = port.read(40)
        assert question in seen
        assert any(bytes.fromhex(entry["answer"]) in seen for entry in line.log())
        assert {tuple(entry["faults"]) for entry in line.log()} == {("second-master",)}
        port.baudrate = 9600
        port.read(30)
        assert port._linestate == 0, "nobody asked for it"
        port.rfc2217_send_subnegotiation(b"\x0a", b"\x0c")
        for speed in (9600, 38400):
            pair = Pair()
            pair.speak("other", 0, Uart(19200, "E"), question)
            misread = Receiver(pair.heard_by("us"), Uart(speed, "E")).take(SECOND_NS)
            port.baudrate = speed
            assert bytes(each.byte for each in misread) in port.read(90)
            assert port._linestate & (PARITY | FRAMING)


def test_two_units_at_one_address_answer_at_once_and_damage_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the machine is held up between the two answers."""

    def held_up(units: Units, *given: Any, ask: Callable[..., Outcome] = Units.ask) -> Outcome:
        time.sleep(0.005)
        return ask(units, *given)

    monkeypatch.setattr(Units, "ask", held_up)
    twin = PROBE.format(keys="").replace("240", "1")
    with cabinet(tmp_path, "baudrate = 19200", rest=twin) as line, line.pyserial(19200) as port:
        port.write(pdu.rtu(1, bytes.fromhex("0300000002")))
        heard = bytes(port.read(9))
        sent = [bytes.fromhex(entry["answer"]) for entry in line.log()]
        assert sorted(entry["meter"] for entry in line.log()) == ["main", "probe"]
        assert heard == bytes(one & other for one, other in zip_longest(*sent, fillvalue=0xFF))
        assert pdu.opened(heard) is None


def test_a_late_answer_meets_the_next_question(tmp_path: Path) -> None:
    slow = PROBE.format(keys="latency_ms = 120")
    late = pdu.rtu(240, bytes.fromhex("0300000006"))
    with cabinet(tmp_path, "baudrate = 1200", rest=slow) as line, line.pyserial(1200) as port:
        assert pdu.opened(answered(port, late, 17)) is not None
        port.write(late)
        line.until(2)  # the slow one has begun
        port.write(pdu.rtu(77, bytes.fromhex("0300000001")))
        heard = burst(port)
        assert pdu.opened(heard) is None
        assert 0 < len(heard) < 17


def test_an_adapter_that_echoes_and_bytes_that_telnet_doubles(tmp_path: Path) -> None:
    question = pdu.rtu(1, bytes.fromhex("04FFFF0001"))
    with cabinet(tmp_path, "baudrate = 19200\necho = true") as line, line.pyserial(19200) as port:
        seen = answered(port, question, 8 + 7)
        assert seen[:8] == question
        assert seen[8:] == bytes.fromhex(line.log()[0]["answer"])


def test_answers_come_in_the_batches_of_an_adapter_and_in_pieces(tmp_path: Path) -> None:
    split = '[[fault]]\nmeter = "main"\nkind = "split"\nsize = 5\ngap_ms = 2'
    with cabinet(tmp_path, "baudrate = 19200\nbatch_ms = 16", rest=split) as line, line.pyserial(19200) as port:
        assert pdu.opened(answered(port, VOLTAGES, SIZE)) is not None


def order(number: int, value: str = "") -> bytes:
    """An order of the client, or with 100 more an answer of the server."""
    return bytes([IAC, SB, 44, number]) + bytes.fromhex(value).replace(b"\xff", b"\xff\xff") + bytes([IAC, SE])


GREETING = bytes.fromhex("fffb00 fffd00 fffb03 fffd03 fffb2c fffd2c")


def test_each_order_is_answered_as_the_standard_says(tmp_path: Path) -> None:
    orders = [
        (order(0), order(100, b"meterseal-sim".hex())),
        (order(1, "00000000"), order(101, "00002580")),  # what is it: 9600
        (order(1, "000000FF"), order(101, "000000FF")),
        (order(1, "00000001"), order(101, "000000FF")),  # not possible: it stays
        (order(2, "07"), order(102, "07")),
        (order(2, "00"), order(102, "07")),
        (order(3, "05"), order(103, "05")),
        (order(3, "00"), order(103, "05")),
        (order(4, "02"), order(104, "02")),
        (order(5, "00"), order(105, "01")),  # which flow control: none
        (order(5, "09"), order(105, "09")),
        (order(5, "07"), order(105, "09")),  # DTR is off now
        (order(5, "0A"), order(105, "0B")),  # RTS is on
        (order(6), order(106, "00")),
        (order(7), order(107, "B0")),
        (order(10, "FF"), order(110, "FF")),
        (order(11, "00"), order(111, "00")),
        (order(12, "03"), order(112, "03")),
        (bytes.fromhex("fffd18"), bytes.fromhex("fffc18")),  # another option: no
        (bytes.fromhex("fffd2c fffb2c"), b""),  # as was offered: nothing to say
        (order(99, "01"), b""),
    ]
    with cabinet(tmp_path, "baudrate = 9600") as line, line.bare() as connection:
        reader = connection.makefile("rb")
        assert reader.read(len(GREETING)) == GREETING
        first = order(107, "B0")  # the modem state, once the client speaks RFC 2217
        for sent, expected in orders:
            connection.sendall(sent)
            assert reader.read(len(first + expected)) == first + expected, sent.hex()
            first = b""
        connection.sendall(order(12, "01"))
        assert reader.read(7) == order(112, "01"), "and nothing before it"


def test_a_client_that_holds_gets_what_came_later(tmp_path: Path) -> None:
    with cabinet(tmp_path, "baudrate = 9600") as line, line.bare() as connection:
        reader = connection.makefile("rb")
        reader.read(len(GREETING))
        connection.sendall(order(8) + VOLTAGES)
        assert reader.read(7) == order(107, "B0")
        line.until(1)
        connection.sendall(order(6))
        assert reader.read(7) == order(106, "00")
        connection.sendall(order(9))
        assert reader.read(3) == b"\x01\x04\x0c"


def test_a_second_client_is_told_that_the_port_is_in_use(tmp_path: Path) -> None:
    with cabinet(tmp_path, "baudrate = 19200") as line:
        with line.pyserial(19200) as port:
            with line.bare() as other:
                assert b"in use" in other.makefile("rb").read()
            assert answered(port, VOLTAGES, SIZE)[:3] == b"\x01\x04\x0c"
        with line.pyserial(19200) as port:
            assert answered(port, VOLTAGES, SIZE)[:3] == b"\x01\x04\x0c"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"{taken.getsockname()[1]}\nrfc2217 = true"
        with pytest.raises(WireError, match="--port cabinet=0"), cabinet(tmp_path, port=port):
            pass


def test_a_terminal_garbles_where_its_speed_is_another(tmp_path: Path) -> None:
    traffic = OTHER_MASTER.format(every_ms=100)
    keys = 'baudrate = 9600\nparity = "E"\ngarbles = true'
    with cabinet(tmp_path, keys, rest=traffic, port='"line"') as line:
        path = Path(line.line["port"])
        question = pdu.rtu(1, bytes.fromhex("0300000002"))
        with Serial(path, baudrate=9600) as port:
            assert question in port.receive(40)
        pair = Pair()
        pair.speak("other", 0, Uart(9600, "E"), question)
        misread = Receiver(pair.heard_by("us"), Uart(19200, "E")).take(SECOND_NS)
        with Serial(path, baudrate=19200) as port:
            assert bytes(each.byte for each in misread) in port.receive(90)
    with cabinet(tmp_path, "garbles = true", port='"quiet"') as line:
        path = Path(line.line["port"])
        with Serial(path, baudrate=4800) as port:
            port.send("01 04 0000 0006")
            assert port.receive(1, 0.3) == b""
        with Serial(path, baudrate=9600) as port:
            assert len(port.ask("01 04 0000 0006", SIZE)) == SIZE


@pytest.mark.parametrize(
    ("wildcard", "expected"),
    [
        ("13", "68 12 90 78 56 34 12 68 93 06 45 C3 AB 89 67 45 07 16"),  # read address: the address as data
        ("11 00 00 01 00", None),  # a read: the answer comes under the meter's own address
    ],
)
def test_a_645_meter_answers_a_question_to_any_address(tmp_path: Path, wildcard: str, expected: str | None) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(
        """
        [[bus]]
        name = "cabinet"
        type = "dlt645"
        port = 0
        rfc2217 = true
        baudrate = 19200
        preamble = 0
          [[bus.meter]]
          name = "main"
          profile = "dlt645-three-phase"
          address = "123456789012"
        """
    )
    asked = bytes.fromhex(wildcard)
    body = b"\x68" + b"\xaa" * 6 + b"\x68" + asked[:1] + bytes([len(asked) - 1])
    body += bytes((byte + 0x33) % 256 for byte in asked[1:])
    with simulating(path) as simulator:
        line = Cabinet(simulator.ready()["lines"]["cabinet"], tmp_path / "answers.jsonl")
        with line.pyserial(19200, "E") as port:
            answer = answered(port, body + bytes([sum(body) % 256, 0x16]), 18 if expected else 20)
    assert answer[:8].hex() == "6812907856341268"
    assert answer == bytes.fromhex(expected or line.log()[0]["answer"])


@pytest.mark.parametrize(
    ("keys", "meter", "port", "problem"),
    [
        ("", "", "502", "rfc2217 = true"),
        ("rfc2217 = true", "", '"line"', "needs a number"),
        ("garbles = true", "", "0\nrfc2217 = true", "pseudo-terminal"),
        ("emulate = false", "", "0\nrfc2217 = true", "remove emulate"),
        ("check_settings = true\ngarbles = true", "", '"line"', "check_settings"),
        ('tap = "tap"', "", "0\nrfc2217 = true", "no tap"),
        ("", "baudrate = 9600", '"line"', "settings of its own"),
        ("", "checks_parity = false", '"line"', "settings of its own"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(
    tmp_path: Path, keys: str, meter: str, port: str, problem: str
) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(LINE.format(port=port, keys=keys, meter=meter, rest=""))
    with pytest.raises(ScenarioError, match=problem):
        load_scenario(path)


@given(data=st.binary(max_size=80), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_telnet_takes_any_bytes_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Telnet(), Telnet()
    expected = list(whole.feed(data))
    found: list[bytes | tuple[int, bytes]] = []
    for begin, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        found += pieces.feed(data[begin:end])
    assert _joined(found) == _joined(expected)
    assert pieces.outgoing == whole.outgoing
    carried = Telnet().feed(escaped(data))
    assert b"".join(piece for piece in carried if isinstance(piece, bytes)) == data


def _joined(pieces: list[bytes | tuple[int, bytes]]) -> list[bytes | tuple[int, bytes]]:
    """Data that follows data is one piece."""
    out: list[bytes | tuple[int, bytes]] = []
    for piece in pieces:
        if isinstance(piece, bytes) and out and isinstance(out[-1], bytes):
            out[-1] += piece
        else:
            out.append(piece)
    return out
