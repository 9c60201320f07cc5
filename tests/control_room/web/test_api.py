"""The control room's API and metrics in a process of their own: what came in as it was recorded, proofs from the
archive, and what was not believed within seconds.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from control_room.store.fleet import number_of
from control_room.web.metrics import FIGURES
from control_room.web.table import ROUTES
from gateway.dashboard.shell.users import set_user
from ledger_client.formats.bundle import Bundle
from ledger_client.verification.verify import verify
from tests.control_room.web.asked import V1, Asked, asked_room, refuse
from tests.control_room.web.filled import EPOCH, FORKED, HOLED, LISTED, METER, MISSED, READINGS, STRANGE, UNHEARD, WELL
from tests.gateway.dashboard.pages_site import Browser
from tests.support.audit_batches import trusted
from tests.support.brokers import postgres
from tests.support.evidence import GATEWAY, NOW
from tests.system.demo_site import until

ROOT = Path(__file__).parents[3]
TOOL = os.environ.get("METERSEAL_SCHEMATHESIS", str(ROOT / ".venv-schemathesis" / "bin" / "schemathesis"))
HOOKS = ROOT / "tests" / "gateway" / "api" / "schemathesis_hooks.py"
LISTS = ("/gateways", "/meters", "/latest", "/readings", "/batches", "/alarms", "/holes", "/refused")


@pytest.fixture(scope="module")
def asked(cluster: postgres.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("web")
    with postgres.database(cluster, 90_000 + os.getpid()) as database, asked_room(database, folder) as found:
        yield found


def test_a_token_opens_its_scope_and_its_gateway_alone(asked: Asked) -> None:
    for path in LISTS:
        assert asked.refused(path, "") == (401, "token-missing")
        assert asked.refused(path, "mst_" + "A" * 43) == (401, "token-unknown")
    assert asked.refused("/latest", "status") == (403, "token-scope")
    assert asked.refused(f"/records/{asked.record}", "readings") == (403, "token-scope")
    asked.token("one", "proofs", WELL)
    asked.token("meter", "proofs", WELL, METER)
    for path in LISTS:
        assert {item["gateway"] for item in asked.json(path, "one")["items"]} <= {WELL}
        assert asked.refused(f"{path}?gateway={HOLED}", "one") == (404, "gateway-unknown")
    assert asked.refused(f"/records/{asked.record}", "one") == (404, "gateway-unknown")
    assert {item["meter"] for item in asked.json("/meters", "meter")["items"]} == {METER}
    assert asked.refused("/batches", "meter") == (403, "token-of-a-meter")


def test_a_gateway_or_meter_that_there_is_not_is_no_empty_list(asked: Asked) -> None:
    for path in LISTS:
        assert asked.refused(f"{path}?gateway=nobody") == (404, "gateway-unknown")
        asked.json(f"{path}?gateway={UNHEARD}")
    for path in ("/meters", "/latest", "/readings"):
        assert asked.refused(f"{path}?meter=nobody") == (404, "meter-unknown")


def test_the_fleet_is_that_of_the_trust_file_and_of_the_database(asked: Asked) -> None:
    items = asked.all("/gateways", 2)
    by_name = {item["gateway"]: item for item in items}
    assert [item["gateway"] for item in items] == sorted({*LISTED, STRANGE, GATEWAY})
    assert (by_name[UNHEARD]["level"], by_name[UNHEARD].get("last")) == ("bad", None)
    assert [why["message"] for why in by_name[UNHEARD]["why"]] == ["control-gateway-never"]
    assert (by_name[STRANGE]["listed"], by_name[HOLED]["holes"]) == (False, 1)
    assert (by_name[GATEWAY]["last_batch"], by_name[GATEWAY]["unproven"]) == (1, 0)
    assert by_name[WELL]["version"] == "0.1.0"


def test_values_come_back_with_the_decimals_that_were_recorded(asked: Asked) -> None:
    items = asked.all(f"/readings?gateway={WELL}&meter={METER}", 70)
    assert len(items) == READINGS
    for item, reading in zip(items, asked.filled.readings, strict=True):
        values = {value.name: value for value in reading.values}
        assert [(one["point"], one.get("value")) for one in item["values"]] == [
            (value.name, value.value) for value in reading.values
        ]
        assert str(item["values"][3]["value"]) == str(values["exact"].value)
        assert (item["gateway"], item["reversed"]) == (WELL, True)
    assert "value" not in items[MISSED]["values"][0]
    assert items[MISSED]["quality"] == "bad"
    (newest,) = asked.json(f"/latest?gateway={WELL}&meter={METER}")["items"]
    assert newest == items[-1]
    assert [item["record"] for item in asked.json(f"/readings?from={items[5]['time']}&limit=2")["items"]] == [
        f"{METER}/{EPOCH.hex()}/{seq}" for seq in (5, 6)
    ]


def test_lines_are_of_one_gateway_and_a_link_leads_on(asked: Asked) -> None:
    assert asked.refused("/readings?format=csv") == (400, "parameter-missing")
    lines, path = list[dict[str, str]](), f"{V1}/readings?gateway={WELL}&format=csv&limit=200&points=active_power"
    while path:
        status, headers, body = asked.raw(path)
        assert status == 200
        lines += csv.DictReader(io.StringIO(body.decode()))
        path = headers.get("link", "").partition("<")[2].partition(">")[0]
    expected = [reading.values[0].value for reading in asked.filled.readings]
    assert [Decimal(line["value"]) if line["value"] else None for line in lines] == expected


def test_a_proof_comes_from_the_archive_and_is_verified(asked: Asked) -> None:
    record = asked.json(f"/records/{asked.record}")
    assert (record["state"], record["batch"], record["kind"]) == ("anchored", 1, "coverage")
    status, headers, bundle = asked.raw(f"{V1}/records/{asked.record}.mseal")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    proven = verify(bundle, trusted(), NOW)
    assert f"{GATEWAY}/{proven.meter}/{proven.epoch.hex()}/{proven.seq}" == asked.record
    asked.db.run("DELETE FROM records WHERE hash = decode(%s, 'hex')", record["hash"])  # its partition has gone
    assert asked.json(f"/records/{asked.record}") == record
    assert Bundle.parse(asked.raw(f"{V1}/records/{asked.record}.mseal")[2]) == Bundle.parse(bundle)


def test_what_no_statement_counts_has_no_proof_yet(asked: Asked) -> None:
    assert asked.json(f"/records/{asked.unsealed}")["state"] == "recorded"
    assert asked.refused(f"/records/{asked.unsealed}.mseal") == (409, "not-anchored")
    assert asked.refused(f"/records/{WELL}/{METER}/{EPOCH.hex()}/{READINGS}") == (404, "record-unknown")
    assert asked.refused(f"/records/{WELL}/{METER}/{EPOCH.hex()}/{READINGS}.mseal") == (404, "record-unknown")


@pytest.mark.parametrize(
    ("path", "key"),
    [("/batches", "statement"), ("/refused", "id"), ("/alarms", "id"), ("/holes", "id"), ("/meters", "meter")],
)
def test_pages_of_a_list_are_the_list(asked: Asked, path: str, key: str) -> None:
    whole = [item[key] for item in asked.json(f"{path}?limit=1000")["items"]]
    assert whole
    assert [item[key] for item in asked.all(path, 1)] == whole


def test_what_is_refused_is_there_at_once_and_a_stranger_makes_no_series(asked: Asked) -> None:
    before = asked.json(f"/refused?gateway={FORKED}")["items"]
    now_ms = int(asked.filled.readings[-1].time_ms)
    for gateway in (FORKED, "stranger-1", 'x"}\n# HELP y'):
        refuse(asked.db, gateway, gateway.encode(), now_ms)
    (first, *rest) = asked.json(f"/refused?gateway={FORKED}")["items"]
    assert (rest, first["step"], first["why"]["message"]) == (before, 3, "token-missing")
    assert first["topic"] == f"meterseal-records/v1/{FORKED}/records"


def test_metrics_are_those_that_are_listed(asked: Asked) -> None:
    figures = asked.figures()
    assert {name.partition("{")[0] for name in figures} <= set(FIGURES)
    assert figures[f'meterseal_control_holes{{gateway="{HOLED}"}}'] == 1
    assert figures[f'meterseal_control_records_forked_total{{gateway="{FORKED}"}}'] == 1
    assert figures[f'meterseal_control_gateway_up{{gateway="{UNHEARD}"}}'] == 0
    assert figures[f'meterseal_control_refused_messages{{gateway="{FORKED}"}}'] >= 3
    assert f'meterseal_control_heard_timestamp_seconds{{gateway="{UNHEARD}"}}' not in figures
    named = {label for name in figures for label in re.findall(r'gateway="([^"]*)"', name)}
    assert named == {*LISTED, GATEWAY, ""}
    document = (ROOT / "docs" / "metrics.md").read_text()
    assert [name for name in FIGURES if f"| `{name}` | {FIGURES[name][0]} |" not in document] == []


def test_every_route_is_described(asked: Asked) -> None:
    described = asked.json("/openapi.json", "")
    assert list(described["paths"]) == [route.path for route in ROUTES]


HALF = "/(readings|records|latest|meters)"
RUNS = {"half": ("--include-path-regex", HALF), "other half": ("--exclude-path-regex", HALF)}
"""Side by side, each with a token of its own: the rate of one is what takes the time."""


def test_schemathesis_finds_no_fault_and_nothing_undocumented(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text('[phases.coverage]\nunexpected-methods = ["DELETE", "TRACE"]\n')
    gateway, meter, epoch, seq = asked.record.split("/")
    record = json.dumps({"gateway": gateway, "meter": meter, "epoch": epoch, "seq": int(seq)})
    running = {}
    for name, paths in RUNS.items():
        (folder := tmp_path / name).mkdir()
        command = [
            TOOL, "--config-file", str(tmp_path / "schemathesis.toml"), "--no-color", "run",
            f"{asked.url}{V1}/openapi.json", "--checks", "all", "--rate-limit", "19/s", "--max-examples", "2",
            "--seed", "1", "--generation-database", "none", "--phases", "coverage,fuzzing", *paths,
            "-H", f"Authorization: Bearer {asked.token(name.replace(' ', '-'), 'proofs')}",
        ]  # fmt: skip
        hooks = {"SCHEMATHESIS_HOOKS": str(HOOKS), "METERSEAL_RECORD": record}
        running[name] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=os.environ | hooks
        )
    texts = {name: process.communicate(timeout=280)[0] for name, process in running.items()}
    assert {name: process.returncode for name, process in running.items()} == dict.fromkeys(RUNS, 0), texts
    selected = [int(re.findall(r"(\d+) selected", text)[0]) for text in texts.values()]
    assert sum(selected) == sum(route.scope is not None for route in ROUTES)


def test_a_database_that_is_away_is_said_and_comes_back(asked: Asked) -> None:
    asked.db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                 "AND datname = current_database()")  # fmt: skip
    answers = [asked.raw(f"{V1}/gateways")[0] for _ in range(12)]
    assert set(answers) <= {200, 503}
    assert answers[-1] == 200
    assert number_of(asked.db, WELL) is not None


def test_forged_forked_removed_and_late_are_on_page_api_and_metrics(cluster: postgres.Cluster, tmp_path: Path) -> None:
    """A gateway that was well until then: each is seen by the next who looks, within seconds (metrics: 2)."""
    with postgres.database(cluster, 91_000 + os.getpid()) as database, asked_room(database, tmp_path) as asked:
        set_user(asked.folder / "keys" / "web.users", "ines", "viewer", "correct horse battery")
        browser = Browser(asked.port)
        assert browser.login("ines", "correct horse battery").status == 303

        def alarms() -> set[str]:
            return {alarm["code"] for alarm in asked.json(f"/alarms?gateway={GATEWAY}")["items"]}

        def page(path: str) -> str:
            answer = browser.get(path)
            assert answer.status == 200
            return answer.text

        def figure(name: str) -> float:
            return asked.figures()[f'meterseal_control_{name}{{gateway="{GATEWAY}"}}']

        assert (figure("holes"), figure("records_forked_total"), alarms()) == (0, 0, set())
        refuse(asked.db, GATEWAY, b"forged", time.time_ns() // 1_000_000)
        asked.fork()
        asked.lose_a_record()
        asked.let_a_batch_be_late()

        assert [one["step"] for one in asked.json(f"/refused?gateway={GATEWAY}")["items"]] == [3]
        assert [one["meter"] for one in asked.json(f"/holes?gateway={GATEWAY}")["items"]] == [asked.lost]
        assert {"forked", "records-missing", "receipts-missing"} <= alarms()
        (standing,) = asked.json(f"/gateways?gateway={GATEWAY}")["items"]
        assert standing["level"] == "bad"
        assert {"control-gateway-refused", "control-gateway-forked", "control-gateway-holes"} <= {
            why["message"] for why in standing["why"]
        }
        assert GATEWAY in page("/holes")
        assert GATEWAY in page("/refused")
        assert page(f"/alarms?gateway={GATEWAY}").count("records-missing") >= 1
        assert until("the figures", lambda: figure("holes") == 1)
        assert (figure("records_forked_total"), figure("refused_messages")) == (1, 1)
