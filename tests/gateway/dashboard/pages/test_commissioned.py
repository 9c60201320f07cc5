"""The meter's page says whether the meter still is what its commissioning record says; its record is shown in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord
from gateway.config.model import Config
from gateway.records import MeterEvent, StoredRecord
from gateway.storage.database import Database
from tests.gateway.dashboard.looks import looker
from tests.support.epochs import epoch
from tests.support.gateways.commissioned import COMPARISON, T0_MS
from tests.support.samples import Hands, site

METER = "export-main"
CHANGES: dict[str, tuple[Callable[[CommissioningRecord], CommissioningRecord], str, str]] = {
    "profile": (
        lambda r: replace(r, profile_hash=bytes(32)),
        "decodes otherwise than when it was commissioned",
        "的解码方式与投运时不同",
    ),
    "another profile": (
        lambda r: replace(r, profile="dlt645-three-phase", profile_hash=bytes(32)),
        "commissioned with dlt645-three-phase",
        "投运时为 dlt645-three-phase",
    ),
    "role": (lambda r: replace(r, role="auxiliary"), "commissioned as auxiliary", "投运时为 auxiliary"),
    "ratio": (lambda r: replace(r, ratios={"ct": "200/5"}), "ct 1, commissioned with 200/5", "投运时为 200/5"),
    "direction": (lambda r: replace(r, reversed=True), "commissioned as reversed", "投运时为反向"),
    "word order": (
        lambda r: replace(r, settings={**r.settings, "word_order": "little"}),
        "word order -, commissioned with little",
        "字序为 -，投运时为 little",
    ),
    "identity": (
        lambda r: replace(r, identity="serial_number=7"),
        "commissioned as serial_number=7",
        "投运时为 serial_number=7",
    ),
}


def made_of(loaded: Config) -> CommissioningRecord:
    return record_of(
        loaded, METER, identity="serial_number=4711", by="somebody <b>", at_ms=T0_MS, comparisons=[COMPARISON]
    )


def signed(folder: Path, *records: CommissioningRecord | None) -> Config:
    loaded = site(folder, {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.poll(2)
    for record in records:
        hands.journal.happened(MeterEvent(METER, (record or made_of(loaded)).event()))
    hands.end()
    return loaded


def pages(loaded: Config, identity: str = "serial_number=4711") -> dict[str, str]:
    """The meter's page in each language, and those of its newest event, and of all events."""

    async def work() -> dict[str, str]:
        async with epoch(loaded) as running:
            look = looker(running)
            running.line_of(METER).accept(METER, identity)
            store = Database(loaded.database, read_only=True)
            row = next(store.records.events_of(METER), None)
            seen = {
                language: look("/meters/{meter}", store, {"meter": METER}, {}, language=language).body.decode()
                for language in ("en", "zh")
            }
            if row is not None:
                found = _names(row)
                for language in ("en", "zh"):
                    address = "/meters/{meter}/records/{epoch}/{seq}"
                    seen[f"record {language}"] = look(address, store, found, {}, language=language).body.decode()
                    seen[f"events {language}"] = look("/events", store, {}, {}, language=language).body.decode()
            store.close()
            return seen

    return asyncio.run(work())


def _names(row: StoredRecord) -> dict[str, Any]:
    return {"meter": row.meter, "epoch": row.epoch.hex(), "seq": str(row.seq)}


def test_a_meter_that_is_as_recorded_and_its_record(tmp_path: Path) -> None:
    loaded = signed(tmp_path / "site", None)
    seen = pages(loaded)
    assert "by somebody &lt;b&gt;: " in seen["en"]
    assert "as recorded</span>" in seen["en"]
    assert "no longer as recorded" not in seen["en"]
    assert "与投运记录一致" in seen["zh"]
    assert "meter commissioned" in seen["events en"]
    assert "电表投运" in seen["events zh"]
    assert "somebody &lt;b&gt;" in seen["events en"]
    assert "1234.56 kWh" not in seen["events en"]
    for words in (
        "meter commissioned",
        "serial_number=4711",
        "agrees",
        "1234567.8 Wh read, 1234.56 kWh on the display",
    ):
        assert words in seen["record en"]
    assert COMPARISON.answer.hex(" ") in seen["record en"]
    assert "读得 1234567.8 Wh" in seen["record zh"]
    href = seen["en"].partition('id="commissioned"')[2].partition('href="')[2].partition('"')[0]
    assert href.startswith(f"/meters/{METER}/records/")


def test_what_differs_from_the_record_is_named_in_both_languages(tmp_path: Path) -> None:
    loaded = signed(tmp_path / "site", None)
    for change, english, chinese in CHANGES.values():
        hands = Hands(loaded, epoch=bytes(7) + bytes([len(english)]))
        hands.journal.happened(MeterEvent(METER, change(made_of(loaded)).event()))
        hands.end()
        seen = pages(loaded)
        assert "no longer as recorded" in seen["en"]
        assert english in seen["en"], english
        assert chinese in seen["zh"], chinese
        assert seen["en"].partition('id="commissioned"')[2].partition("</ul>")[0].count("<li>") == 1


def test_a_meter_without_a_record_says_so(tmp_path: Path) -> None:
    seen = pages(signed(tmp_path / "site"))
    assert "No commissioning record" in seen["en"]
    assert "无投运记录" in seen["zh"]
