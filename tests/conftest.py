"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import RUNNING


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """A test that fails in its middle ends no server; the next run would meet what it holds."""
    yield
    for server in list(RUNNING):
        server.close()
