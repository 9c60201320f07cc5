"""What the law says to a breach: of the order of rooms, and of each wall. Each case is a tree of a few lines."""

from __future__ import annotations

import pytest

from tests.layout.law import WALLS, Wall, breaches, upward
from tests.layout.source_tree import Module, Tree

BREACHES: dict[str, tuple[dict[str, str], str]] = {
    "the ledger's client stands alone": (
        {"ledger_client.cli.trust": "from gateway.config import load"},
        "ledger_client.cli.trust:1 imports gateway.config.load",
    ),
    "the gateway knows no simulator": (
        {"gateway.cli.demo.plant": "import firmware_sim.plant.house"},
        "gateway.cli.demo.plant:1 imports firmware_sim.plant.house",
    ),
    "nothing stands on the control room": (
        {"gateway.feeds.outbox": "from control_room.judged import Judged"},
        "gateway.feeds.outbox:1 imports control_room.judged.Judged",
    ),
    "the control room takes the gateway's ground": (
        {"control_room.web.site": "from gateway.clock import Clock\nfrom gateway.devices import profile"},
        "control_room.web.site:2 imports gateway.devices.profile",
    ),
    "the control room loads no gateway": (
        {
            "control_room.web.site": "from gateway.errors import Trouble",
            "gateway.errors": "from gateway.config import load",
        },
        "control_room.web.site → gateway.errors:1 imports gateway.config.load",
    ),
    "who is checked brings no verifier": (
        {
            "gateway.dashboard.site": "from ledger_client.transparency.server import verifier_route",
            "ledger_client.transparency.server.verifier_route": "from ledger_client.verifier_page import page",
        },
        "gateway.dashboard.site → ledger_client.transparency.server.verifier_route:1 imports "
        "ledger_client.verifier_page.page",
    ),
    "judging is pure": (
        {"control_room.judging.judge": "import logging"},
        "control_room.judging.judge:1 imports logging",
    ),
    "only the store speaks to PostgreSQL": (
        {"control_room.web.site": "import psycopg", "control_room.store.connection": "import psycopg"},
        "control_room.web.site:1 imports psycopg",
    ),
    "the archive knows no database": (
        {
            "control_room.archive.files": "from control_room.errors import ArchiveError",
            "control_room.errors": "from control_room.store import connection",
            "control_room.store.connection": "",
        },
        "control_room.archive.files → control_room.errors:1 imports control_room.store.connection",
    ),
    "only a ledger's log speaks to PostgreSQL": (
        {"ledger_client.transparency.log.sqlite": "import psycopg"},
        "ledger_client.transparency.log.sqlite:1 imports psycopg",
    ),
    "only a session speaks to tokens": (
        {"gateway.recording.committer": "import pkcs11"},
        "gateway.recording.committer:1 imports pkcs11",
    ),
    "only the intake speaks to NATS": (
        {"control_room.store.holes": "import nats.aio.client"},
        "control_room.store.holes:1 imports nats.aio.client",
    ),
    "the simulator takes the profile alone": (
        {"firmware_sim.meters.packing": "from gateway.devices import profile, decode"},
        "firmware_sim.meters.packing:1 imports gateway.devices.decode",
    ),
    "a test under the plugin loads no gateway": (
        {"firmware_sim.testing.plugin": "import click"},
        "firmware_sim.testing.plugin:1 imports click",
    ),
    "a meter is recorded through one client": (
        {"firmware_sim.recorded.recorder": "import socket"},
        "firmware_sim.recorded.recorder:1 imports socket",
    ),
    "the product needs no test": (
        {"gateway.cli.demo.month": "from tests.support.samples import record"},
        "gateway.cli.demo.month:1 imports tests.support.samples.record",
    ),
    "no import by text": (
        {"gateway.fieldbus.polling.line": "def f(name):\n    return __import__(name)"},
        "gateway.fieldbus.polling.line:2 uses __import__",
    ),
    "only storage speaks SQL": (
        {"gateway.status.facts": "import sqlite3"},
        "gateway.status.facts:1 imports sqlite3",
    ),
    "one module opens the database": (
        {"gateway.storage.feed_tables": "from sqlite3 import connect"},
        "gateway.storage.feed_tables:1 imports sqlite3.connect",
    ),
    "only the fieldbus has serial ports": (
        {"gateway.doctor.lines": "import serial"},
        "gateway.doctor.lines:1 imports serial",
    ),
    "pymodbus is not run": (
        {"gateway.fieldbus.modbus.tcp_link": "import pymodbus.client"},
        "gateway.fieldbus.modbus.tcp_link:1 imports pymodbus.client",
    ),
    "the fieldbus stores nothing": (
        {
            "gateway.fieldbus.polling.line": "from gateway.errors import Trouble",
            "gateway.errors": "from gateway.history import rollup",
            "gateway.history.rollup": "",
        },
        "gateway.fieldbus.polling.line → gateway.errors:1 imports gateway.history.rollup",
    ),
    "the poller reaches no wire and no disk": (
        {
            "gateway.acquisition.poller": "from gateway.acquisition import decoding",
            "gateway.acquisition.decoding": "\nimport asyncio",
        },
        "gateway.acquisition.poller → gateway.acquisition.decoding:2 imports asyncio",
    ),
    "pages and feeds have no signing key": (
        {"gateway.dashboard.pages.meter": "from ledger_client.formats.cose_key import base64url, load_private_key"},
        "gateway.dashboard.pages.meter:1 imports ledger_client.formats.cose_key.load_private_key",
    ),
    "the frame of pages knows no gateway": (
        {
            "gateway.dashboard.shell.app": "from gateway.errors import Trouble",
            "gateway.errors": "from gateway.config import load",
        },
        "gateway.dashboard.shell.app → gateway.errors:1 imports gateway.config.load",
    ),
    "storage knows no accounting": (
        {"gateway.storage.capacity.pruning": "from gateway.accounting.hours import ahead"},
        "gateway.storage.capacity.pruning:1 imports gateway.accounting.hours.ahead",
    ),
    "of the gateway's accounting only certified connects": (
        {
            "gateway.accounting.due": "from ledger_client.transport import http_session",
            "ledger_client.transport.http_session": "import requests",
        },
        "gateway.accounting.due → ledger_client.transport.http_session:1 imports requests",
    ),
    "verifying needs no network": (
        {
            "ledger_client.verification.verify": "from ledger_client.times import now",
            "ledger_client.times": "import socket",
        },
        "ledger_client.verification.verify → ledger_client.times:1 imports socket",
    ),
    "verifying touches the files that it names": (
        {"ledger_client.recompute.run": "def f(path):\n    return path.read_bytes()"},
        "ledger_client.recompute.run:2 uses read_bytes",
    ),
    "the ledger's client is plain functions": (
        {"ledger_client.ledgers.http": "import asyncio"},
        "ledger_client.ledgers.http:1 imports asyncio",
    ),
}


def test_each_wall_has_a_breach_here() -> None:
    assert [wall.name for wall in WALLS] == list(BREACHES)


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_a_breach_is_named_with_the_reason_of_its_wall(wall: Wall) -> None:
    texts, found = BREACHES[wall.name]
    assert list(breaches(Tree.of_texts(texts), wall)) == [f"{found}: {wall.name}, since {wall.reason}"]


def test_an_upward_import_is_named_with_both_rooms_and_the_way_out() -> None:
    tree = Tree.of_texts(
        {
            "gateway.storage.database": "\nfrom gateway.recording import writer",
            "gateway.recording.writer": "from gateway.storage.database import Database\nimport gateway.errors",
            "gateway.errors": "",
        }
    )
    assert list(upward(tree)) == [
        "gateway.storage.database:2 imports gateway.recording.writer, upward: the room recording stands above storage; "
        "move what both need into a lower room, or hand it in as an argument"
    ]


def test_the_names_for_others_stand_above_all_rooms_and_are_for_others() -> None:
    texts = {"ledger_client": "from ledger_client.cli import app", "ledger_client.cli.app": ""}
    assert list(upward(Tree.of_texts(texts))) == []
    texts |= {"gateway.cli.verify": "from ledger_client import verify"}
    (breach,) = upward(Tree.of_texts(texts))
    assert breach.startswith("gateway.cli.verify:1 imports from ledger_client itself")


def test_a_folder_that_the_order_does_not_name_is_no_room() -> None:
    assert list(upward(Tree.of_texts({"gateway.helpers.text": ""}))) == [
        "gateway.helpers.text: the room helpers has no place in ORDER (tests/layout/law.py)"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ledger_client.audit.files", "open('a')"),
        ("ledger_client.audit.run", "row.open and row.exists"),
        ("ledger_client.audit.run", "from ledger_client.audit.files import batches"),
    ],
)
def test_a_door_a_field_of_the_same_name_and_a_way_through_a_door_are_no_breach(name: str, text: str) -> None:
    tree = Tree.of_texts({name: text})
    assert [found for wall in WALLS for found in breaches(tree, wall)] == []


def test_imports_that_are_relative_in_functions_or_in_tables_of_commands_are_seen() -> None:
    text = "def f():\n    from ..storage import database\n    from . import mqtt\nC = {'run': 'gateway.cli.run:run'}"
    assert {name for _, name in Module.parse("gateway.feeds.outbox", text).imports} == {
        "gateway.storage.database",
        "gateway.feeds.mqtt",
        "gateway.cli.run.run",
    }
