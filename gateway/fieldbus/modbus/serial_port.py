"""Serial port: exclusive opening, and the processes that already have it open."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import stat
import termios
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.rs485 import RS485Settings

from gateway.fieldbus.modbus.errors import PortError, PortMissing
from gateway.fieldbus.modbus.frames import char_seconds, t35_seconds
from gateway.fieldbus.modbus.rtu_link import Port

_PTY_SLAVES = range(136, 144)  # major numbers, Linux Documentation/admin-guide/devices.txt
_SCREEN, _FIRST_SERIAL, _OWN_TERMINAL = 4, 64, 5  # tty0 to tty63 before ttyS0; /dev/tty, console, ptmx


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def holders(path: str) -> list[Holder]:
    """Every other process that has the device open, whether it took a lock or not, as far as /proc may be read."""
    target = os.path.realpath(path)
    try:
        device = os.stat(target)
    except OSError:
        return []
    own = os.getpid()
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own)
    return [Holder(pid, _command(pid)) for pid in sorted(pids) if _has_open(pid, device)]


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


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        text = b" ".join(words).decode(errors="replace").strip()
        return text[:120] or Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "command not readable"


def check(path: str) -> None:
    """PortError, with the way out, when the port is missing, is no terminal, may not be used, or is in use."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise PortMissing(path, "there is no such port", _instead(path)) from None
    except OSError as error:
        raise PortError(path, _words(error), "check the path") from None
    if not stat.S_ISCHR(mode) or _is_other(os.stat(path).st_rdev):
        raise PortError(path, "this is not a serial port", "give a device such as /dev/serial/by-id/…")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PortError(path, "no permission to read and write it", _permission(path))
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


def warning(path: str) -> str | None:
    """What is unwise about a port's name, or None."""
    if not Path(path).name.startswith(("ttyUSB", "ttyACM")):
        return None
    return (
        f"{path}: this name goes to whichever adapter is found first; after a restart it may be another meter's line. "
        "Use its name under /dev/serial/by-id or /dev/serial/by-path"
    )


def open_port(
    path: str, baudrate: int = 9600, parity: str = "N", stopbits: int = 1, rs485: RS485Settings | None = None
) -> Port:
    """Open the port, locked (flock) and exclusive (TIOCEXCL), at low latency where the driver can.

    PortError when that cannot be, when the driver does not take the settings, or when ``rs485`` asks for direction
    control that it does not have.
    """
    check(path)
    settings = f"{baudrate} baud 8{parity}{stopbits}"
    try:
        device = serial.Serial(path, baudrate, parity=parity, stopbits=stopbits, timeout=0, exclusive=True)
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
        attributes[6][termios.VMIN] = 1  # an empty read then means that the port is gone, never that nothing came
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        os.set_blocking(fd, False)
    except PortError:
        device.close()
        raise
    except ValueError as error:
        device.close()
        way_out = "leave rs485 out: most USB adapters switch the direction by themselves"
        raise PortError(path, f"no direction control (TIOCSRS485): {error}", way_out) from None
    except (OSError, termios.error) as error:
        device.close()
        raise PortError(path, _words(error), "unplug and plug the adapter, then try again") from None
    return Port(fd, device.close, char_seconds(baudrate, parity, stopbits), t35_seconds(baudrate), not pty)


def _unsuited(path: str, settings: str, parity: str) -> PortError:
    """The driver does not take the settings."""
    pseudo = parity != "N" and os.major(os.stat(path).st_rdev) in _PTY_SLAVES
    instead = 'a pseudo-terminal has no parity: write parity = "N"'
    way_out = instead if pseudo else "correct baudrate, parity and stopbits, or use another adapter"
    return PortError(path, f"its driver refuses {settings}", way_out)


def _refused(path: str, error: Exception) -> PortError:
    if isinstance(error, ValueError):
        return PortError(path, str(error), "correct baudrate, parity and stopbits")
    if found := holders(path):
        return _held(path, found)
    code = getattr(error, "errno", None)
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in str(error):
        way_out = "stop the other program; as root, meterseal can name it"
        return PortError(path, "another process holds it", way_out)
    if code in (errno.EACCES, errno.EPERM):
        return PortError(path, "no permission to read and write it", _permission(path))
    return PortError(path, _words(error), "check the adapter and its cable")


def _held(path: str, found: list[Holder]) -> PortError:
    who = " and ".join(map(str, found))
    return PortError(path, f"held by {who}", f"stop it first (kill {found[0].pid}), or give this bus another port")


def _words(error: Exception) -> str:
    if isinstance(error, termios.error):  # no OSError: its arguments are number and words
        return str(error.args[-1])
    return getattr(error, "strerror", None) or str(error)


def _instead(path: str) -> str:
    known = sorted(str(p) for p in Path("/dev/serial/by-id").glob("*"))
    return f"plugged in are {', '.join(known)}" if known else "is the adapter plugged in? see ls /dev/serial/by-id"


def _permission(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (KeyError, OSError):
        group = "dialout"
    return f"add this user to the group that owns it (sudo usermod -aG {group} USER) and log in again"
