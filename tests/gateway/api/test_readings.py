"""`/readings` and `/series`: the recorded values, each once, and nothing else."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.api import readings
from gateway.api.shapes.bodies import reading_of
from gateway.api.shapes.models import json_of
from gateway.api.shapes.parameters import ReadingPage
from gateway.api.shapes.portions import Portions
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.reading_lines import text
from gateway.api.shapes.route import Call
from gateway.clock import HOUR_MS, MINUTE_MS, Clock
from gateway.config.model import Config
from gateway.dashboard.db_readers import db_readers
from gateway.history.series import Spans
from gateway.history.value_lines import Wanted, of_row
from gateway.history.value_lines import readings as recorded
from gateway.records import StoredRecord
from gateway.runtime.context import GatewayContext
from gateway.storage.capacity.pruning import prune
from gateway.storage.database import Database
from gateway.storage.record_reader import read_reading
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.times import rfc3339_ms
from tests.gateway.api.asked import METER, Asked
from tests.support.commands import gateway_command
from tests.support.samples import Hands, settle
from tests.support.samples import site as new_site
from tests.system.demo_site import until

OTHER = "pv-inverter"


def rows_of(config: Config, meter: str | None = METER) -> list[StoredRecord]:
    with closing(Database(config.database, read_only=True)) as store:
        return [row for row in store.records.rows(0, 1 << 60) if row.kind == "reading" and meter in (None, row.meter)]


@pytest.fixture(scope="module", autouse=True)
def _some(site: Asked) -> None:
    until("readings", lambda: len(rows_of(site.config)) > 12)


@pytest.mark.parametrize("meter", [METER, None])
def test_pages_while_it_records_hold_each_reading_once_in_order(site: Asked, meter: str | None) -> None:
    of = f"?meter={meter}" if meter else "?from=-30d"
    items = site.all(f"/readings{of}", 2)
    rows = rows_of(site.config, meter)
    assert len(items) > 10
    assert [item["record"] for item in items] == [row.id for row in rows[: len(items)]]
    assert {item["gateway"] for item in items} == {site.config.gateway_id}


def test_an_item_is_the_reading_as_it_was_recorded(site: Asked) -> None:
    answer = site.get(f"/readings?meter={METER}&limit=3")
    row = rows_of(site.config)[0]
    reading, clock = read_reading(row)
    turned = site.config.meters[METER].reversed
    expected = json_of(reading_of(site.config.gateway_id, METER, reading, turned, row.id, clock)).decode()
    assert answer.text.startswith('{"items":[' + expected + ",{")
    assert f'cursor={json.loads(answer.text)["next"]}>; rel="next"' in answer.headers["link"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_are_those_of_the_command_and_a_link_leads_on(site: Asked, tmp_path: Path, form: str) -> None:
    first = site.get(f"/readings?meter={METER}&limit=4&format={form}")
    target = first.headers["link"].partition(">")[0].removeprefix("</api/v1")
    second = site.get(target)
    path = tmp_path / f"all.{form}"
    gateway_command("readings", site.config.path, METER, "-o", path).ended()
    head = path.read_bytes().decode().splitlines(keepends=True)[0] if form == "csv" else ""
    both = first.text + second.text.removeprefix(head)
    assert path.read_bytes().decode().startswith(both)
    if form == "csv":
        records = {row["record"] for row in csv.DictReader(io.StringIO(both))}
    else:
        records = {json.loads(line)["record"] for line in both.splitlines()}
    assert records == {row.id for row in rows_of(site.config)[:8]}


def test_points_and_times_choose(site: Asked) -> None:
    rows = rows_of(site.config)
    begin, end = (rfc3339_ms(row.time_ms) for row in (rows[2], rows[5]))
    items = site.json(f"/readings?meter={METER}&from={begin}&to={end}&points=frequency")["items"]
    assert [item["record"] for item in items] == [row.id for row in rows[2:5]]
    assert [[value["point"] for value in item["values"]] for item in items] == [["frequency"]] * 3
    written = [text(of_row(row, ["frequency"]).values[0].value) for row in rows[2:5]]
    assert [str(item["values"][0]["value"]) for item in items] == written


@pytest.mark.parametrize(
    ("path", "token", "refused"),
    [
        ("/readings", "status", (403, "token-scope")),
        (f"/readings?meter={OTHER}", "meter", (403, "token-other-meter")),
        (f"/series?meter={OTHER}", "meter", (403, "token-other-meter")),
        ("/readings?meter=no-such", "readings", (404, "meter-unknown")),
        ("/readings?points=no-such", "readings", (404, "readings-no-point")),
        ("/readings?gateway=no-such", "readings", (404, "gateway-unknown")),
        ("/readings?from=2026-11-26", "readings", (400, "parameter-invalid")),
        ("/readings?limit=10001", "readings", (400, "parameter-invalid")),
        ("/readings?format=xml", "readings", (400, "parameter-invalid")),
        ("/readings?points=a,,b", "readings", (400, "parameter-invalid")),
        ("/readings?from_=now", "readings", (400, "parameter-unknown")),
        ("/readings?cursor=AAAA", "readings", (400, "cursor-invalid")),
        ("/series", "readings", (400, "parameter-missing")),
        (f"/series?meter={METER}&by=day", "readings", (400, "parameter-invalid")),
    ],
)
def test_what_cannot_be_is_refused(site: Asked, path: str, token: str, refused: tuple[int, str]) -> None:
    assert site.refused(path, token) == refused


def test_a_cursor_is_of_its_query_alone_and_a_meters_token_sees_that_meter(site: Asked) -> None:
    cursor = site.json("/readings?limit=1")["next"]
    for other in ("format=csv", f"meter={METER}", "points=frequency", "from=-1h"):
        assert site.refused(f"/readings?{other}&cursor={cursor}") == (400, "cursor-of-another-query")
    assert site.refused(f"/series?meter={METER}&cursor={cursor}") == (400, "cursor-of-another-query")
    again = site.json(f"/readings?limit=1&cursor={cursor}")["items"]
    assert again[0]["record"] == rows_of(site.config, None)[1].id
    assert {item["meter"] for item in site.json("/readings?limit=50", "meter")["items"]} == {METER}


@dataclass(frozen=True)
class Here:
    """What a list needs to know of a site."""

    config: Config
    clock: Clock


def test_a_cursor_whose_readings_were_pruned_is_gone_and_one_that_lost_nothing_is_not(tmp_path: Path) -> None:
    loaded, hands = site_of_polls(tmp_path)
    here = cast(GatewayContext, Here(loaded, hands.clock))

    async def page(portions: Portions[Database], cursor: str | None, limit: int) -> Any:
        asked = ReadingPage.model_validate({"meter": METER, "limit": limit, "cursor": cursor})
        call = Call(here, "/api/v1/readings", asked, None, portions=portions)
        response = await readings.readings(call)
        return json.loads(response._first), portions  # type: ignore[attr-defined]

    async def test() -> None:
        with closing(db_readers(loaded.database, 1, "lists")) as lister:
            portions = Portions[Database](lister)
            early, _ = await page(portions, None, 3)
            late, _ = await page(portions, None, 147)
            while prune(hands.store, [], 1 << 60, lambda store, batch: None):
                pass
            with pytest.raises(Refusal) as refused:
                await page(portions, early["next"], 3)
            assert (refused.value.status, refused.value.refused.code) == (410, "readings-pruned")
            rest, _ = await page(portions, late["next"], 10)
            assert [item["record"] for item in rest["items"]] == [row.id for row in rows_of(loaded)][-3:]
            assert "next" not in rest
            fresh, _ = await page(portions, None, 1)
            more, _ = await page(portions, fresh["next"], 10)
            assert fresh["items"] + more["items"] == [*(await page(portions, None, 10))[0]["items"]]

    asyncio.run(test())
    hands.end()


def site_of_polls(folder: Path) -> tuple[Config, Hands]:
    loaded = new_site(folder / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(150)
    settle(hands.store, range(hands.store.batches.count()), PrivateKey.generate())
    return loaded, hands


@pytest.mark.parametrize(("by", "span_ms"), [("minute", MINUTE_MS), ("hour", HOUR_MS)])
def test_series_are_the_summaries_of_what_was_recorded(site: Asked, by: str, span_ms: int) -> None:
    items = site.all(f"/series?meter={METER}&by={by}&points=frequency", 1)
    with closing(Database(site.config.database, read_only=True)) as store:
        spans = Spans(store, METER, ["frequency"])
        found = list(spans.minutes(0, 1 << 53) if by == "minute" else spans.hours(0, 1 << 53))
        values = [x.values[0].value for x in recorded(store, Wanted((METER,), points=frozenset(["frequency"])))]
    assert [item["from"] for item in items] == [rfc3339_ms(span.start_ms) for span in found[: len(items)]]
    assert items[-1]["complete"] is False
    first, figures = items[0], items[0]["points"][0]
    assert first["readings"] == figures["count"] or first["complete"] is False
    assert (float(figures["first"]), figures["point"]) == (float(values[0]), "frequency")
    assert float(figures["low"]) == min(map(float, values[: figures["count"]]))
    assert {item["to"] for item in items} == {rfc3339_ms(span.start_ms + span_ms) for span in found[: len(items)]}
