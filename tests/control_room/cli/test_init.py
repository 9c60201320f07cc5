"""`meterseal-control init` against a real nats-server and PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_room.intake import consumer
from control_room.settings import load_settings
from control_room.store import schema
from control_room.store.connection import connect
from tests.control_room.intake.client import linked
from tests.support.brokers.nats import Node
from tests.support.brokers.postgres import Database
from tests.support.evidence import trust_text


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Node]:
    """A nats-server that no MQTT client ever connected to."""
    node = Node(tmp_path / "nats", 1, [], 1)
    node.start()
    yield node
    node.close()


def control(*arguments: object) -> tuple[int, str]:
    """Exit code of the command, and all that it printed."""
    command = [sys.executable, "-m", "control_room.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_it_makes_everything_and_finds_it_the_second_time(bare: Node, database: Database, tmp_path: Path) -> None:
    trust, folder = tmp_path / "trust.toml", tmp_path / "control"
    trust.write_text(trust_text())
    options = (
        "--database", database.url, "--password-file", database.password_file, "--intake", bare.client_url,
        "--trust", trust,
    )  # fmt: skip
    mqtt = "mqtt://127.0.0.1:1"
    assert control("init", folder, *options, "--mqtt", mqtt)[0] == 2  # nobody takes MQTT clients there
    path = folder / "CONTROL.toml"
    assert load_settings(path).trust == trust  # what was given is kept: the next time needs no options

    for _ in range(2):
        code, printed = control("init", folder, "--mqtt", bare.url)
        assert code == 0, printed
        assert f"meterseal-control run {path}" in printed
    db = connect(database.url, database.password_file)
    schema.demand(db)
    db.close()

    async def found() -> consumer.Ensured:
        async with linked(bare) as link:
            return await consumer.ensure(link, "main")

    assert not asyncio.run(found()).made
    assert control("init", folder, *options)[0] == 2  # it would not be what stands in the file


@pytest.mark.parametrize("missing", ["--database", "--intake", "--trust"])
def test_without_a_file_it_needs_all(tmp_path: Path, missing: str) -> None:
    options = {"--database": "postgresql:///m", "--intake": "nats://127.0.0.1:1", "--trust": tmp_path / "trust.toml"}
    del options[missing]
    code, printed = control("init", tmp_path / "c", *(word for pair in options.items() for word in pair))
    assert (code, missing in printed, (tmp_path / "c").exists()) == (2, True, False)
