"""A nats-server for the tests of one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.brokers.nats import Node, nats


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Running, with the stream of MQTT messages, for tests that do not stop it."""
    with nats(tmp_path_factory.mktemp("nats")) as (one,):
        yield one
