"""The HTTP API of a running gateway: who gets what, and that each answer is what it is described as.

schemathesis asks it by its openapi.json with all of its checks; a longer run by hand is the same command with
``--max-examples 200`` and another seed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest

from gateway.api.shapes.problems import STATUS
from gateway.api.shapes.reading_writers import JsonLinesWriter
from gateway.api.shapes.token_file import remove_token, tokens_file
from gateway.api.table import ROUTES
from gateway.history.value_lines import of_row
from gateway.storage.database import Database
from ledger_client.formats.bundle import Bundle
from ledger_client.times import rfc3339_ms
from tests.gateway.api.asked import METER, V1, Asked, refusal, token
from tests.gateway.dashboard.pages_site import Browser, everything
from tests.system.demo_site import until

HERE = Path(__file__).parent
TOOL = os.environ.get("METERSEAL_SCHEMATHESIS", str(HERE.parents[2] / ".venv-schemathesis" / "bin" / "schemathesis"))
RATE = "19/s"
"""A token has 20 requests a second: what comes faster is 429 and tests nothing else."""


METHODS = '[phases.coverage]\nunexpected-methods = ["DELETE", "TRACE"]\n'
"""Those that each path is asked with besides GET: of all of them there are tests in test_api.py."""

SITE = ("/gateways", "/batches")
LISTS = ("/meters", "/latest", "/alarms", "/events", *SITE)


@pytest.mark.parametrize("path", ["/meters", "/nothing", "/../v2/meters", "/openapi.json/", "/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_what_would_change_something_is_refused(site: Asked, path: str, method: str) -> None:
    given = {"Authorization": f"Bearer {site.tokens['proofs']}", "Origin": f"http://127.0.0.1:{site.port}"}
    answer = Browser(site.port).ask(method, V1 + path, b"", **given)
    assert refusal(answer) == (405, "api-method")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/meters", "/api/v1/meters/", "/api/login", "/api/%0A"]
)
def test_a_path_that_there_is_not_is_a_problem_and_no_login(site: Asked, path: str) -> None:
    for given in ({}, {"Authorization": f"Bearer {site.tokens['proofs']}"}):
        assert refusal(Browser(site.port).ask("GET", path, b"", **given)) == (404, "path-unknown")


@pytest.mark.parametrize("path", LISTS)
def test_only_a_token_that_holds_opens_a_path(site: Asked, path: str) -> None:
    whole = site.tokens["proofs"]
    assert site.refused(path, "") == (401, "token-missing")
    assert site.refused(path, "expired") == (401, "token-expired")
    for wrong in (whole[:-1], whole + "A", "mst_" + "A" * 43, whole.upper()):
        assert site.refused(path, wrong) == (401, "token-unknown")
    for given in (f"Basic {whole}", whole, "Bearer"):
        answer = site.get(path, "", Authorization=given)
        assert refusal(answer) == (401, "token-missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert refusal(Browser(site.port).ask("GET", f"{V1}{path}?token={whole}"))[0] == 401


def test_a_session_of_the_pages_opens_nothing(site: Asked) -> None:
    browser = Browser(site.port)
    assert browser.login("installer", "correct horse battery").status == 303
    assert browser.get("/").status == 200
    assert refusal(browser.ask("GET", f"{V1}/meters")) == (401, "token-missing")


@pytest.mark.parametrize(
    ("path", "needed"),
    [("/meters", "status"), ("/events", "status"), ("/latest", "readings"), ("/records/x/y/{:016x}/1", "proofs")],
)
def test_a_token_that_is_too_narrow_is_named(site: Asked, path: str, needed: str) -> None:
    order = ["status", "readings", "proofs"]
    for scope in order[: order.index(needed)]:
        answer = site.get(path.format(0), scope)
        assert refusal(answer) == (403, "token-scope")
        assert f'scope="{needed}"' in answer.headers["www-authenticate"]
    assert site.get(path.format(0), needed).status in (200, 404)


def test_a_token_of_a_meter_sees_that_meter_alone(site: Asked) -> None:
    for path in SITE:
        assert site.refused(path, "meter") == (403, "token-of-a-meter")
    for path in ("/meters", "/latest", "/alarms", "/events"):
        assert {item["meter"] for item in site.json(path, "meter")["items"]} <= {METER}
        assert site.refused(f"{path}?meter=inverter", "meter") == (403, "token-other-meter")
        assert site.refused(f"{path}?meter=gateway", "meter") == (403, "token-other-meter")
    assert [item["meter"] for item in site.json("/latest", "meter")["items"]] == [METER]
    gateway = site.config.gateway_id
    assert site.refused(f"/records/{gateway}/gateway/{'0' * 16}/1", "meter") == (403, "token-other-meter")


def test_a_token_counts_and_ends_at_once(site: Asked) -> None:
    text = token(site.config, "short", "status")
    assert site.get("/meters", text).status == 200
    file = tokens_file(site.config.keys)
    file.chmod(0o644)
    answer = site.get("/meters", text)
    assert refusal(answer) == (503, "tokens-unavailable")
    file.chmod(0o600)
    assert site.get("/meters", text).status == 200
    remove_token(file, "short")
    assert site.refused("/meters", text) == (401, "token-unknown")


def test_a_token_has_twenty_requests_a_second(site: Asked) -> None:
    text = token(site.config, "busy", "status")
    answers = [site.once("/meters?limit=1", text) for _ in range(60)]
    late = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers[:20]} == {200}
    assert late, "sixty requests came within a second and two thirds"
    assert refusal(late[0]) == (429, "requests-too-many")
    assert int(late[0].headers["retry-after"]) >= 1
    assert site.get("/meters", "status").status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "parameter-invalid"), ("limit=1001", "parameter-invalid"), ("limit=1_0", "parameter-invalid"),
        ("limit=+1", "parameter-invalid"), ("limit=%D9%A1", "parameter-invalid"), ("limit=1.0", "parameter-invalid"),
        ("limit=" + "9" * 5000, "parameter-invalid"), ("limit=", "parameter-invalid"),
        ("limit=1&limit=2", "parameter-twice"),
        ("meter=a%00b", "parameter-invalid"), ("meter=../x", "parameter-invalid"), ("nothing=1", "parameter-unknown"),
        ("cursor=x", "cursor-invalid"), ("cursor=%FF", "cursor-invalid"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(site: Asked, query: str, code: str) -> None:
    assert site.refused(f"/events?{query}") == (400, code)


def test_a_gateway_or_meter_that_there_is_not_is_no_empty_list(site: Asked) -> None:
    for path in LISTS:
        assert site.refused(f"{path}?gateway=elsewhere") == (404, "gateway-unknown")
        assert site.get(f"{path}?gateway={site.config.gateway_id}").status == 200
    for path in ("/meters", "/latest", "/alarms", "/events"):
        assert site.refused(f"{path}?meter=nobody") == (404, "meter-unknown")


def test_the_guard_refuses_with_problems_too(site: Asked) -> None:
    foreign = Browser(site.port).raw(f"GET {V1}/meters HTTP/1.1", "Host: evil.example", "Connection: close")
    head, _, body = everything(foreign).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 421")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "request-host-unknown"
    chinese = json.loads(site.get("/nothing", Accept_Language="zh-CN").text)
    assert (chinese["code"], chinese["status"]) == ("path-unknown", 404)
    assert chinese["detail"] != json.loads(site.get("/nothing").text)["detail"]


def test_a_head_has_no_body_and_the_same_status(site: Asked) -> None:
    given = {"Authorization": f"Bearer {site.tokens['status']}"}
    answer = Browser(site.port).ask("HEAD", f"{V1}/meters", b"", **given)
    assert (answer.status, answer.text) == (200, "")


def test_the_site_as_it_stands(site: Asked) -> None:
    (gateway,) = site.json("/gateways", "status")["items"]
    assert gateway["gateway"] == site.config.gateway_id
    assert gateway["recording"] == "on"
    assert gateway["meters"] == {"well": 3, "asleep": 0, "starting": 0, "silent": 0}
    assert [ledger["name"] for ledger in gateway["ledgers"]] == ["demo-ledger"]
    meters = site.json("/meters", "status")["items"]
    assert [meter["meter"] for meter in meters] == sorted(site.config.meters)
    assert {meter["standing"] for meter in meters} == {"well"}
    assert not any("silent_since" in meter for meter in meters), "what is not there has no key"


def test_the_newest_values_are_those_of_their_records(site: Asked) -> None:
    with_store = Database(site.config.database, read_only=True)
    for item in site.json("/latest", "readings")["items"]:
        meter, epoch, seq = item["record"].split("/")
        found = with_store.records.find(meter, bytes.fromhex(epoch), int(seq))
        assert found is not None
        written = BytesIO()
        JsonLinesWriter(written).write(of_row(found[1]))
        lines = [json.loads(line, parse_float=Decimal) for line in written.getvalue().splitlines()]
        assert [(v["point"], v.get("value"), v.get("unit"), v["bits"]) for v in item["values"]] == [
            (line["point"], line["value"], line["unit"], line["bits"]) for line in lines
        ]
        assert item["clock"] == lines[0]["clock"]


@pytest.mark.parametrize(
    ("path", "key"), [("/batches", "batch"), ("/events", "record"), ("/meters", "meter"), ("/alarms?state=all", "id")]
)
def test_pages_of_a_list_are_the_list(site: Asked, path: str, key: str) -> None:
    joint = "&" if "?" in path else "?"
    whole = [item[key] for item in site.json(f"{path}{joint}limit=1000")["items"]]
    paged = [item[key] for item in site.all(path, 2)]
    newer = len(paged) - len(whole)  # batches and events go on
    assert paged[newer:] == whole
    assert len(set(paged)) == len(paged)


def test_a_cursor_is_of_its_query(site: Asked) -> None:
    cursor = site.json("/events?limit=1")["next"]
    assert site.get(f"/events?limit=7&cursor={cursor}").status == 200
    assert site.refused(f"/events?meter={METER}&cursor={cursor}") == (400, "cursor-of-another-query")
    assert site.refused(f"/batches?cursor={cursor}") == (400, "cursor-of-another-query")


def test_events_of_a_time_are_those_of_all_that_happened_then(site: Asked) -> None:
    events = site.all("/events", 100)
    first = min(event["time"] for event in events)
    behind = rfc3339_ms(round(datetime.fromisoformat(first).timestamp() * 1000) + 1000)
    early, late = ([event["record"] for event in events if (event["time"] < behind) is so] for so in (True, False))
    for limit in (1, 100):
        assert [event["record"] for event in site.all(f"/events?from={first}&to={behind}", limit)] == early
    found = [event["record"] for event in site.all(f"/events?from={behind}", 2)]
    assert found[len(found) - len(late) :] == late, "new ones may have come"
    assert site.json(f"/events?to={first}")["items"] == []
    assert site.json("/events?from=now")["items"] == []
    assert site.json(f"/events?from=now&meter={METER}")["items"] == []
    assert site.refused("/events?from=now&meter=nobody") == (404, "meter-unknown")
    assert site.refused("/events?from=yesterday") == (400, "parameter-invalid")


def test_fields_of_events_need_the_scope_of_values(site: Asked) -> None:
    assert any("fields" in event for event in site.json("/events", "readings")["items"])
    assert not any("fields" in event for event in site.json("/events", "status")["items"])


def test_a_record_and_its_proof(site: Asked) -> None:
    sealed = site.json("/batches")["items"][-1]
    assert sealed["anchors"][0]["state"] == "settled"
    with_store = Database(site.config.database, read_only=True)
    row = with_store.records.newest_anchored(METER)
    assert row is not None
    path = f"/records/{site.config.gateway_id}/{row.id}"
    record = site.json(path)
    assert (record["state"], record["kind"], record["reading"]["record"]) == ("anchored", "reading", row.id)
    assert Bundle.parse(site.bundle(path)).record == row.data
    assert site.refused(f"/records/elsewhere/{row.id}.mseal") == (404, "gateway-unknown")
    assert site.refused(f"/records/{site.config.gateway_id}/{METER}/{'0' * 16}/1.mseal") == (404, "record-unknown")


def test_a_record_without_a_receipt_has_no_proof_yet(site: Asked) -> None:
    def refused() -> bool:
        newest = site.json(f"/latest?meter={METER}")["items"][0]["record"]
        answer = site.get(f"/records/{site.config.gateway_id}/{newest}.mseal")  # sealed meanwhile, once in a while
        return answer.status == 409 and refusal(answer) == (409, "not-anchored")

    assert until("a record that is in no batch", refused)


def test_every_route_is_described_and_every_refusal(site: Asked) -> None:
    described = site.json("/openapi.json", "")
    assert described["openapi"] == "3.1.0"
    assert list(described["paths"]) == [route.path for route in ROUTES]
    text = json.dumps(described)
    assert [code for code in STATUS if f"`{code}`" not in text] == []


def test_pages_alone_load_no_api() -> None:
    """A gateway that nobody asks has none of its models, nor what describes them."""
    code = "import sys\nimport gateway.dashboard.asgi_server\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("gateway.api.") for name in done.stdout.split() if name.startswith("gateway.api.")}
    assert "shapes.problems" in loaded
    assert loaded & {"shapes.models", "shapes.parameters", "table", "serving", "openapi", "token_file"} == set()


def record(site: Asked) -> str:
    """A record that has a proof, for the hooks."""
    row = Database(site.config.database, read_only=True).records.newest_anchored(METER)
    assert row is not None
    found = {"gateway": site.config.gateway_id, "meter": row.meter, "epoch": row.epoch.hex(), "seq": row.seq}
    return json.dumps(found)


HALF = "/(records|readings|series|plans)"
RUNS = {
    "narrow": ("status", ("--phases", "fuzzing")),
    "half": ("proofs", ("--phases", "coverage,fuzzing", "--include-path-regex", HALF)),
    "other half": ("again", ("--phases", "coverage,fuzzing", "--exclude-path-regex", HALF)),
}
"""Side by side, each with a token of its own: the rate of one is what takes the time."""


def test_schemathesis_finds_no_fault_and_nothing_undocumented(site: Asked, tmp_path: Path) -> None:
    site.tokens["again"] = token(site.config, "again", "proofs")
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(METHODS)
    url = f"http://127.0.0.1:{site.port}{V1}/openapi.json"
    command = [TOOL, "--config-file", str(settings), "--no-color", "run", url, "--checks", "all", "--rate-limit", RATE]
    command += ["--max-examples", "3", "--seed", "1", "--generation-database", "none"]
    hooks = {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "METERSEAL_RECORD": record(site)}
    running = {}
    for name, (scope, options) in RUNS.items():
        (folder := tmp_path / name).mkdir()
        given = [*command, *options, "-H", f"Authorization: Bearer {site.tokens[scope]}"]
        running[name] = subprocess.Popen(
            given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | hooks, cwd=folder
        )
    texts = {name: process.communicate(timeout=280)[0] for name, process in running.items()}
    assert {name: process.returncode for name, process in running.items()} == dict.fromkeys(RUNS, 0), texts
    selected = {name: int(re.findall(r"(\d+) selected", text)[0]) for name, text in texts.items()}
    paths = sum(route.scope is not None for route in ROUTES)
    assert (selected["narrow"], selected["half"] + selected["other half"]) == (paths, paths)
