"""Serial port: exclusive opening, and the processes that already have it open."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import stat
import struct
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import serial
from serial.rs485 import RS485Settings

from gateway.fieldbus.wire.errors import PortError, PortMissing
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.fieldbus.wire.stream_link import Port
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import Sentence, sentence_of

_PTY_SLAVES = range(136, 144)  # major numbers, Linux Documentation/admin-guide/devices.txt
_SCREEN, _FIRST_SERIAL, _OWN_TERMINAL = 4, 64, 5  # tty0 to tty63 before ttyS0; /dev/tty, console, ptmx

_TIOCGICOUNT, _COUNTERS = 0x545D, struct.Struct("20i")  # struct serial_icounter_struct, Linux linux/serial.h
_PARITIES: Final = {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}


class LineErrors(NamedTuple):
    """How many bytes a port has received damaged, by kind."""

    parity: int = 0
    framing: int = 0
    overrun: int = 0
    breaks: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open."""

    pid: int
    command: str | None
    """None: it cannot be read."""

    @property
    def message(self) -> Message:
        """Which it is."""
        if self.command is None:
            return Message("process-unreadable", pid=self.pid)
        return Message("process-named", pid=self.pid, command=self.command)


def holders(path: str, *, ours: bool = False) -> list[Holder]:
    """Every other process that has the device open (``ours``: this one too), whether it took a lock or not, as far as
    /proc may be read. Who has the master of a pseudo-terminal too is its other end, such as socat, and uses no line."""
    target = os.path.realpath(path)
    try:
        device = os.stat(target)
    except OSError:
        return []
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit() and (ours or int(name) != os.getpid()))
    return [Holder(pid, _command(pid)) for pid in sorted(pids) if _has_open(pid, device) and not _serves(pid, device)]


def _serves(pid: int, device: os.stat_result) -> bool:
    """Whether another process has the master of a pseudo-terminal (proc_pid_fdinfo(5), tty-index)."""
    major, minor = os.major(device.st_rdev), os.minor(device.st_rdev)
    if major not in _PTY_SLAVES or pid == os.getpid():
        return False
    index = _PTY_SLAVES.index(major) * 256 + minor
    masters = Path(f"/proc/{pid}/fdinfo")
    with contextlib.suppress(OSError):
        for name in os.listdir(masters):
            with contextlib.suppress(OSError):
                if f"tty-index:\t{index}\n" in (masters / name).read_text():
                    return True
    return False


def _has_open(pid: int, device: os.stat_result) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:  # gone meanwhile, or not ours to read
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            file = f"{folder}/{descriptor}"
            if os.readlink(file).startswith("/dev/") and _same_device(os.stat(file), device):
                return True
    return False


def _same_device(found: os.stat_result, device: os.stat_result) -> bool:
    """The same terminal, under whatever name. Pseudo-terminals of two instances (of a container, say) share names and
    numbers, and differ in their file system."""
    if (found.st_dev, found.st_ino) == (device.st_dev, device.st_ino):
        return True
    character = stat.S_ISCHR(found.st_mode) and stat.S_ISCHR(device.st_mode)
    return character and found.st_rdev == device.st_rdev and os.major(found.st_rdev) not in _PTY_SLAVES


def _command(pid: int) -> str | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        text = b" ".join(words).decode(errors="replace").strip()
        return text[:120] or Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def check(path: str, *, to_read: bool = False) -> None:
    """PortError, with the way out, when the port is missing, is no terminal, may not be used, or is in use.

    ``to_read``: it is only listened to.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise PortMissing(path, _missing()) from None
    except OSError as error:
        raise PortError(path, Message("port-unreachable", error=os_error(error))) from None
    if not stat.S_ISCHR(mode) or _is_other(os.stat(path).st_rdev):
        raise PortError(path, Message("port-not-serial"))
    if not os.access(path, os.R_OK if to_read else os.R_OK | os.W_OK):
        raise PortError(path, _not_permitted(path))
    if found := holders(path):
        raise _held(path, found)


def _is_other(device: int) -> bool:
    """A character device that is no port: the screen's terminals, and what the kernel calls no terminal at all, such as
    /dev/null. It is not opened, which would move the lines of a real port."""
    major, minor = os.major(device), os.minor(device)
    if (major == _SCREEN and minor < _FIRST_SERIAL) or major == _OWN_TERMINAL:
        return True
    subsystem = Path(f"/sys/dev/char/{major}:{minor}/subsystem")
    return subsystem.exists() and subsystem.resolve().name != "tty"


def warning(path: str) -> Message | None:
    """What is unwise about a port's name, or None."""
    if not Path(path).name.startswith(("ttyUSB", "ttyACM")):
        return None
    return Message("port-name-unstable", path=path)


def open_port(
    path: str,
    baudrate: int = 9600,
    parity: str = "N",
    stopbits: int = 1,
    rs485: RS485Settings | None = None,
    databits: int = 8,
) -> Port:
    """Open the port, locked (flock) and exclusive (TIOCEXCL), at low latency where the driver can.

    PortError when that cannot be, when the driver does not take the settings, or when ``rs485`` asks for direction
    control that it does not have.
    """
    check(path)
    settings = f"{baudrate} baud {databits}{parity}{stopbits}"
    try:
        device = serial.Serial(path, baudrate, databits, parity, stopbits, timeout=0, exclusive=True)
    except termios.error:
        raise _unsuited(path, settings, parity) from None
    except (serial.SerialException, OSError, ValueError) as error:
        raise _refused(path, error) from None
    fd = device.fileno()
    with contextlib.suppress(ValueError):  # a driver without this setting delivers as it does
        device.set_low_latency_mode(True)
    try:
        if rs485 is not None:
            device.rs485_mode = rs485
        pty = os.major(os.fstat(fd).st_rdev) in _PTY_SLAVES
        if not pty:  # on a pseudo-terminal the mark would outlive a process that was killed
            fcntl.ioctl(fd, termios.TIOCEXCL)
        attributes = termios.tcgetattr(fd)
        if parity != "N" and not attributes[2] & termios.PARENB:  # some drivers drop it without a word
            raise _unsuited(path, settings, parity)
        if not pty and attributes[2] & termios.CSIZE != (termios.CS7 if databits == 7 else termios.CS8):
            raise _unsuited(path, settings, parity)
        attributes[6][termios.VMIN] = 1  # an empty read then means that the port is gone, never that nothing came
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        os.set_blocking(fd, False)
    except PortError:
        device.close()
        raise
    except ValueError as error:
        device.close()
        raise PortError(path, Message("port-no-direction-control", error=sentence_of(error))) from None
    except (OSError, termios.error) as error:
        device.close()
        raise PortError(path, Message("port-stuck", error=_why(error))) from None
    return Port(fd, device.close, char_seconds(baudrate, parity, stopbits, databits), t35_seconds(baudrate), not pty)


def open_to_read(path: str, baudrate: int = 9600, parity: str = "N", stopbits: int = 1) -> Port:
    """Open the port for reading alone, locked (flock) and exclusive (TIOCEXCL): the kernel itself refuses a write.

    PortError when that cannot be, or when the driver does not take the settings.
    """
    check(path, to_read=True)
    settings = f"{baudrate} baud 8{parity}{stopbits}"
    speed = getattr(termios, f"B{baudrate}", None)
    if speed is None:
        raise PortError(path, Message("port-settings-refused", settings=settings))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pty = os.major(os.fstat(fd).st_rdev) in _PTY_SLAVES
        if not pty:  # on a pseudo-terminal the mark would outlive a process that was killed
            fcntl.ioctl(fd, termios.TIOCEXCL)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        control |= termios.CSTOPB if stopbits == 2 else 0
        control |= _PARITIES[parity]
        signs = termios.tcgetattr(fd)[6]
        signs[termios.VMIN], signs[termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, [0, 0, control, 0, speed, speed, signs])  # raw, and without echo
        if parity != "N" and not termios.tcgetattr(fd)[2] & termios.PARENB:
            raise _unsuited(path, settings, parity)
        termios.tcflush(fd, termios.TCIFLUSH)
    except PortError:
        os.close(fd)
        raise
    except OSError as error:
        os.close(fd)
        raise _refused(path, error) from None
    except termios.error:
        os.close(fd)
        raise _unsuited(path, settings, parity) from None
    return Port(fd, lambda: os.close(fd), char_seconds(baudrate, parity, stopbits), t35_seconds(baudrate), not pty)


def change(path: str, fd: int, baudrate: int, parity: str, stopbits: int) -> None:
    """Set an open port otherwise, when what was written has left. Raises PortError."""
    settings = f"{baudrate} baud 8{parity}{stopbits}"
    speed = getattr(termios, f"B{baudrate}", None)
    if speed is None:
        raise PortError(path, Message("port-settings-refused", settings=settings))
    try:
        attributes = termios.tcgetattr(fd)
        attributes[2] &= ~(termios.CSTOPB | termios.PARENB | termios.PARODD)
        attributes[2] |= _PARITIES[parity] | (termios.CSTOPB if stopbits == 2 else 0)
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
        if parity != "N" and not termios.tcgetattr(fd)[2] & termios.PARENB:
            raise _unsuited(path, settings, parity)
    except termios.error:
        raise _unsuited(path, settings, parity) from None


def line_errors(fd: int) -> LineErrors | None:
    """What the driver has counted of an open port since it was plugged in; None: it counts nothing, as a
    pseudo-terminal."""
    counters = bytearray(_COUNTERS.size)
    try:
        fcntl.ioctl(fd, _TIOCGICOUNT, counters)
    except OSError:
        return None
    framing, overrun, parity, breaks = _COUNTERS.unpack(counters)[6:10]
    return LineErrors(parity, framing, overrun, breaks)


def has_parity(path: str) -> bool:
    """The port is no pseudo-terminal, which has none."""
    return os.major(os.stat(path).st_rdev) not in _PTY_SLAVES


def _unsuited(path: str, settings: str, parity: str) -> PortError:
    """The driver does not take the settings."""
    if parity != "N" and os.major(os.stat(path).st_rdev) in _PTY_SLAVES:
        return PortError(path, Message("port-no-parity", settings=settings))
    return PortError(path, Message("port-settings-refused", settings=settings))


def _refused(path: str, error: Exception) -> PortError:
    if isinstance(error, ValueError):
        return PortError(path, Message("port-settings-invalid", error=sentence_of(error)))
    if found := holders(path):
        return _held(path, found)
    code = getattr(error, "errno", None)
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in str(error):
        return PortError(path, Message("port-held-unknown"))
    if code in (errno.EACCES, errno.EPERM):
        return PortError(path, _not_permitted(path))
    return PortError(path, Message("port-failed", error=_why(error)))


def _held(path: str, found: list[Holder]) -> PortError:
    who = tuple(holder.message for holder in found)
    return PortError(path, Message("port-held", who=who, pid=found[0].pid))


def _why(error: Exception) -> Sentence:
    if isinstance(error, termios.error):  # no OSError: its arguments are number and words
        return os_error(OSError(*error.args[:2]))
    return os_error(error) if isinstance(error, OSError) else str(error)


def _missing() -> Message:
    known = tuple(sorted(str(p) for p in Path("/dev/serial/by-id").glob("*")))
    return Message("port-missing", ports=known) if known else Message("port-missing-none")


def _not_permitted(path: str) -> Message:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (KeyError, OSError):
        group = "dialout"
    return Message("port-no-permission", group=group)
