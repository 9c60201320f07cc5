"""What a driver counts of damaged bytes, and settings of an open port."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator

import pytest

from gateway.fieldbus.wire.errors import PortError
from gateway.fieldbus.wire.serial_port import change, has_parity, line_errors


@pytest.fixture
def terminal() -> Iterator[tuple[str, int]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave), slave
    os.close(slave)
    os.close(master)


def test_a_pseudo_terminal_counts_nothing_and_has_no_parity(terminal: tuple[str, int]) -> None:
    path, fd = terminal
    assert line_errors(fd) is None
    assert not has_parity(path)
    with pytest.raises(PortError, match="parity"):
        change(path, fd, 9600, "E", 1)


def test_an_open_port_is_set_otherwise(terminal: tuple[str, int]) -> None:
    path, fd = terminal
    change(path, fd, 19200, "N", 2)
    attributes = termios.tcgetattr(fd)
    assert attributes[4] == attributes[5] == termios.B19200
    assert attributes[2] & termios.CSTOPB
    change(path, fd, 2400, "N", 1)
    attributes = termios.tcgetattr(fd)
    assert attributes[5] == termios.B2400
    assert not attributes[2] & termios.CSTOPB


def test_a_speed_that_the_system_does_not_know_is_refused(terminal: tuple[str, int]) -> None:
    path, fd = terminal
    with pytest.raises(PortError, match="14400 baud 8N1"):
        change(path, fd, 14400, "N", 1)
