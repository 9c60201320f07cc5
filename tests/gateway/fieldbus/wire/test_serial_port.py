"""Ports that cannot be used: each refused with what, where and the way out; a holder is named by pid and command."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.fieldbus.polling.open_line import check_port, direction_of
from gateway.fieldbus.wire.errors import PortError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.serial_port import check, holders, open_port, warning
from tests.gateway.fieldbus.devices import meter

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2] == "lock":
    fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Path]:
    """A link to a pseudo-terminal."""
    master, slave = os.openpty()
    tty.setraw(slave)
    link = tmp_path / "by-id-adapter"
    link.symlink_to(os.ttyname(slave))
    yield link
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("how", ["plain", "lock"])
def test_another_process_that_holds_the_port_is_named(terminal: Path, how: str) -> None:
    command = [sys.executable, "-c", HOLD, str(terminal), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for refused in (lambda: check(str(terminal)), lambda: open_port(str(terminal))):
            with pytest.raises(PortError) as error:
                refused()
            text = str(error.value)
            assert str(terminal) in text
            assert f"process {holder.pid} ({sys.executable}" in text
            assert f"kill {holder.pid}" in text
        spec = LineSpec("line", "modbus-rtu", (meter("one", 1),), port=str(terminal))
        with pytest.raises(PortError, match=f"process {holder.pid}"):
            check_port(spec)
        assert [found.pid for found in holders(str(terminal))] == [holder.pid]
        holder.communicate("")
    check(str(terminal))


BRIDGE = """
import os, sys
first, second = os.openpty(), os.openpty()
used = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print(os.ttyname(first[1]), os.ttyname(second[1]), flush=True)
sys.stdin.read()
"""


def test_the_other_end_of_a_pseudo_terminal_is_no_other_user(terminal: Path) -> None:
    """socat PTY,link=a PTY,link=b has both terminals open, and their masters; of another port it is a user."""
    command = [sys.executable, "-c", BRIDGE, str(terminal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bridge:
        assert bridge.stdout is not None
        first, second = bridge.stdout.readline().split()
        assert (holders(first), holders(second)) == ([], [])
        open_port(first).close()
        assert [found.pid for found in holders(str(terminal))] == [bridge.pid]
        bridge.communicate("")


def test_a_terminal_of_the_same_name_in_another_instance_is_another_one(terminal: Path) -> None:
    device = os.path.realpath(terminal)
    script = f"""
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx &&
exec {sys.executable} -c 'import os, sys
ends = []
while not ends or os.ttyname(ends[-1]) != {device!r}: ends += os.openpty()
os.close(ends[-2])
print("held", flush=True)
sys.stdin.read()'
"""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script.replace(repr(device), f'"{device}"')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert holders(str(terminal)) == []
        holder.communicate("")


def test_our_own_lock_keeps_others_out_and_goes_with_the_port(terminal: Path) -> None:
    port = open_port(str(terminal), 19200, "N", 2)
    other = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    attributes = termios.tcgetattr(other)
    assert attributes[4] == attributes[5] == termios.B19200
    assert attributes[2] & termios.CSTOPB
    with pytest.raises(BlockingIOError):
        os.read(port.fd, 1)
    port.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert port.char_s == 11 / 19200
    assert port.paced is False


def test_a_missing_port(tmp_path: Path) -> None:
    with pytest.raises(PortError) as error:
        check(str(tmp_path / "nowhere"))
    assert error.value.what.code in ("port-missing", "port-missing-none")
    assert "adapter" in error.value.way_out or "plugged in" in error.value.way_out


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortError, match="not a serial port"):
        check(str(tmp_path / "file"))


def test_a_device_that_is_no_terminal() -> None:
    with pytest.raises(PortError, match="/dev/null"):
        open_port("/dev/null")


def test_a_speed_that_no_port_has(terminal: Path) -> None:
    with pytest.raises(PortError, match="baudrate"):
        open_port(str(terminal), -1)


@pytest.mark.parametrize("parity", ["E", "O"])
def test_a_driver_that_refuses_parity(terminal: Path, parity: str) -> None:
    """The first time the driver drops it without a word, later it refuses: the C library says so where nothing else
    changes."""
    for _ in range(2):
        with pytest.raises(PortError, match=f"{terminal}: its driver rejects 9600 baud 8{parity}1") as error:
            open_port(str(terminal), 9600, parity)
        assert 'set parity = "N"' in error.value.way_out
    open_port(str(terminal), 9600, "N").close()


def test_a_port_without_permission(terminal: Path) -> None:
    """Asked by a process of another user, as root may do anything."""
    os.chmod(terminal.resolve(), 0o600)
    code = (
        "import os, sys\n"
        "from gateway.fieldbus.wire.serial_port import check\n"
        "from gateway.messages.message import Message\n"
        "str(Message('sqlite-busy'))\n"  # reads what the other user may not read
        "os.setresuid(65534, 65534, 65534) if os.getuid() == 0 else None\n"
        "try: check(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    if os.getuid() != 0:
        os.chmod(terminal.resolve(), 0)
    link = terminal.resolve()
    done = subprocess.run([sys.executable, "-c", code, str(link)], capture_output=True, text=True, check=True)
    assert "PortError" in done.stdout
    assert "no permission" in done.stdout
    assert "usermod -aG" in done.stdout


def test_names_that_move_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert "by-id" in str(warning("/dev/ttyUSB0"))
    assert "by-id" in str(warning("/dev/ttyACM1"))
    assert warning("/dev/serial/by-id/usb-FTDI-if00") is None
    assert warning("/dev/ttyS0") is None


def test_network_lines_are_not_tried() -> None:
    check_port(LineSpec("line", "modbus-tcp", (meter("one", 1),), host="192.0.2.1"))


def test_direction_control_that_a_driver_lacks_is_refused_with_the_way_out(terminal: Path) -> None:
    """The kernel refuses TIOCSRS485 on a pseudo-terminal, as most USB adapters' drivers do."""
    settings = direction_of(replace(LineSpec("l", "modbus-rtu", (), port=str(terminal)), rs485=True))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PortError, match="TIOCSRS485") as error:
        open_port(str(terminal), rs485=settings)
    assert "remove rs485" in error.value.way_out
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_delays_of_direction_control_reach_the_driver_in_ms() -> None:
    """struct serial_rs485 (linux/serial.h): flags, delay_rts_before_send, delay_rts_after_send, in ms."""
    spec = LineSpec("l", "modbus-rtu", (), port="p", rs485=True, rs485_before_ms=2, rs485_after_ms=15)
    settings = direction_of(spec)
    assert settings is not None
    assert (settings.rts_level_for_tx, settings.rts_level_for_rx, settings.loopback) == (True, False, False)
    assert settings.delay_before_tx is not None
    assert settings.delay_before_rx is not None
    assert (int(settings.delay_before_tx * 1000), int(settings.delay_before_rx * 1000)) == (2, 15)
    assert direction_of(replace(spec, rs485=False)) is None


def test_a_tunnel_waits_longer_and_remembers_longer_unless_told_otherwise() -> None:
    one = meter("one", 1)
    line = LineSpec("l", "modbus-rtu-over-tcp", (one,), host="h", tunnel=True)
    assert (line.timeout_of(one), line.answer_life_of(one)) == (15_000, 90_000)
    assert replace(line, timeout_ms=4000, answer_life_ms=30_000).timeout_of(one) == 4000
    assert replace(line, answer_life_ms=30_000).answer_life_of(one) == 30_000
    assert line.timeout_of(replace(one, timeout_ms=700)) == 700
    assert LineSpec("l", "modbus-rtu", (one,), port="/dev/ttyS0").answer_life_of(one) == 3000
    for kind in ("modbus-rtu-over-tcp", "modbus-tcp"):
        assert LineSpec("l", kind, (one,), host="h").answer_life_of(one) == 10_000
