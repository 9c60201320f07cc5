"""The pages Energy and Emissions of a plant with a statement: figures, statuses, reasons, and what is not stated."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage.database import Database
from tests.gateway.dashboard.figures.plant import PagesPlant, Shown
from tests.gateway.dashboard.looks import looker
from tests.gateway.dashboard.pages.test_views import recorded
from tests.support.epochs import epoch, until

QUARTERS = ("10:00", "10:15", "10:30", "10:45", "11:00", "11:15")


def text(page: str) -> str:
    """What a reader sees of its main part."""
    main = page[page.index("<main") : page.index("</main")]
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", main)))


def lines(page: str) -> Iterator[str]:
    """The lines of its tables."""
    for line in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        yield re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", line))).strip()


def hour(page: str, begin: str) -> str:
    """The line of one quarter."""
    return next(line for line in lines(page) if line.startswith(begin))


def test_each_stated_quarter_has_its_amount_its_status_and_its_reason(shown: Shown) -> None:
    page = shown["/energy", "hour", "en"]
    assert re.fullmatch(r"10:00–10:15 90[.]000 kWh measured", hour(page, "10:00"))
    split = hour(page, "10:15")
    assert "split" in split
    assert "export-main/energy_export was not read for 30 s around 10:" in split
    assert "2 polls of export-main missed: no answer in time" in split
    assert re.search(r"bridged export-main/energy_export: exchange bridged by registers", hour(page, "10:30"))
    unknown = hour(page, "10:45")
    assert "unknown" in unknown
    assert "meterseal entry CONFIG register export-main/energy_export" in unknown


def test_an_amount_of_several_quarters_and_hours_without_a_plan_stand_once(shown: Shown) -> None:
    page = shown["/energy", "hour", "en"]
    together = hour(page, "11:15")
    assert re.match(r"11:15–12:00 270[.]000\skWh \S+ 11:15 to \S+ 12:00 together unallocated", together)
    assert "the register of export-main/energy_export at 11:30 is not known" in together
    assert "export-main was read while the gateway's clock was not synchronised" in together
    assert hour(page, "00:00") == "00:00–10:00 — no plan no plan ruled this hour"


def test_a_stated_day_names_its_statement_and_what_is_behind_it_is_not_stated(shown: Shown, plant: PagesPlant) -> None:
    record = plant.stated["record"]
    for view in ("hour", "day", "month"):
        page = shown["/energy", view, "en"]
        assert f"version 1, record {record[:12]}… not complete not yet stated" in text(page)
        assert re.search(r'<a href="/meters/gateway/records/[0-9a-f]{16}/\d+">version 1', page)


def test_day_and_month_have_the_sum_of_the_hours(shown: Shown) -> None:
    day, month = (
        next(line for line in lines(shown["/energy", view, "en"]) if "measured" in line) for view in ("day", "month")
    )
    amount = re.search(r"([\d.]+)\skWh", day)
    assert amount is not None
    assert amount[0] in month
    quarters = [hour(shown["/energy", "hour", "en"], begin) for begin in QUARTERS]
    found = [re.search(r"([\d.]+)\skWh", line) for line in quarters]
    assert sum(float(one[1]) for one in found if one) == float(amount[1])


def test_hours_that_are_not_stated_say_why_they_are_not_valid(shown: Shown) -> None:
    page = shown["/emissions", "hour", "en"]
    assert re.search(r"10:00–10:15 .*valid", hour(page, "10:00"))
    missed = hour(page, "11:00")
    assert "missing" in missed
    assert "stack-co2/c: 60 valid of 90 values, 72 needed" in missed
    assert "30 polls of stack-co2 missed: no answer in time" in missed
    assert "stopped stack-co2/load was below the threshold of operation all the time" in hour(page, "11:15")
    clock = hour(page, "11:30")
    assert "missing" in clock
    assert "stack-co2 was read while the gateway's clock was not synchronised" in clock


def test_emission_by_electricity_has_its_factor_and_one_figure_a_period(shown: Shown) -> None:
    shown_text = text(shown["/emissions", "hour", "en"])
    assert "Factor grid 0.5306 kg/kWh, vintage 2023 (announcement) ≈" not in shown_text
    assert "Factor grid 0.5306 kg/kWh, vintage 2023 (announcement)" in shown_text
    assert "provisional: the year's own factor is not in the plan" in shown_text
    assert "One figure for a statement's whole period." in shown_text


def test_the_other_pages_say_what_is_stated(shown: Shown) -> None:
    meter = text(shown["/meters/{meter}", "", "en"])
    assert "Energy and emissions with this meter" in meter
    assert "not yet stated" in meter
    site = text(shown["/", "", "en"])
    assert re.search(r"Statements (none due|1 due) stated up to ", site)


@pytest.mark.parametrize("name", ["damaged", "cut", "lost"])
def test_a_rows_file_that_is_not_what_was_signed_is_said_and_the_rest_is_shown(shown: Shown, name: str) -> None:
    shown_text = text(shown["/energy", name, "en"])
    assert "no file holds the rows of the statement from" in shown_text
    assert "put its .mrows file there" in shown_text
    assert "rows not here" in hour(shown["/energy", name, "en"], "10:00")
    assert "measured" in hour(shown["/energy", name, "en"], "11:00")


def test_chinese_pages_have_chinese_words(shown: Shown) -> None:
    page = shown["/energy", "hour", "zh"]
    assert "按时间分摊 export-main/energy_export 在 10:" in hour(page, "10:15")
    for key, whole in shown.items():
        if key[2] == "zh" and key[0] in ("/energy", "/emissions"):
            shown_text = re.sub(r"meterseal \S+ CONFIG|Meterseal", "", text(whole))
            assert re.findall(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", shown_text) == [], key


def test_a_site_without_a_plan_says_how_to_begin(tmp_path: Path) -> None:
    loaded = recorded(tmp_path / "site", 3)

    async def look() -> list[str]:
        async with epoch(loaded) as running:
            store, see = Database(loaded.database, read_only=True), looker(running)
            await until(lambda: b"data-again" not in see("/energy", store, {}, {}, "en").body)
            found = [see(path, store, {}, {}, "en").body.decode() for path in ("/energy", "/emissions", "/")]
            meter = next(iter(loaded.meters))
            found.append(see("/meters/{meter}", store, {"meter": meter}, {}, "en").body.decode())
            store.close()
            return found

    energy, emissions, site, meter = asyncio.run(look())
    for page in (energy, emissions):
        assert "No accounting plan is published" in text(page)
        assert "<code>meterseal plan init CONFIG</code>" in page
    assert "Statements" not in text(site)
    # figures come later, and a page that gets another part is loaded anew, with all that somebody is typing into it
    assert "<div data-part></div>" in meter
