"""Fixtures of the gateway's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def pty_path() -> Iterator[Callable[[], Path]]:
    """Makes pseudo-terminals that live as long as the test; gives the path of the slave side."""
    ends: list[int] = []

    def make() -> Path:
        master, slave = os.openpty()
        ends.extend((master,))
        path = Path(os.ttyname(slave))
        os.close(slave)
        return path

    yield make
    for end in ends:
        os.close(end)
