"""The printed page in a real browser: it asks nobody, fits one sheet, and says every fact in each language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.commissioning.record.page import Shown, as_html, as_text
from gateway.commissioning.record.rows import rows
from gateway.commissioning.record.words import LANGUAGES, Words, table
from tests.gateway.dashboard.window import NARROW, chromium, window
from tests.support.gateways.commissioned import COMPARISON, RECORD

RECORD_ID = "meter-a/0011223344556677/12"
ZONE = timezone(timedelta(hours=8))
LONG = replace(COMPARISON, point="power_active_total", request=bytes(8), answer=bytes(165), verdict="differs")
SHOWN = Shown(
    gateway="test-gateway",
    record=replace(RECORD, comparisons=(COMPARISON, LONG, LONG), remarks="no neutral <b>\nsecond line"),
    record_id=RECORD_ID,
    state="anchored",
    zone=ZONE,
    batch=7,
    ledgers=("registry",),
    device="Some maker's Meter & Co",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_opens_without_a_network_and_fits_one_sheet(browser: Browser, language: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(as_html(SHOWN, language), encoding="utf-8")
    spoken = LANGUAGES[language][0]
    with window(browser, path.as_uri(), language=spoken) as seen:
        asked: list[str] = []
        seen.page.context.set_offline(True)
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.goto(seen.url)
        text = seen.page.inner_text("main")
        printed = seen.page.pdf(prefer_css_page_size=True)
        code = seen.page.locator("svg.code").bounding_box()

        assert asked == [seen.url]
        assert seen.page.evaluate("document.documentElement.lang").startswith(spoken)
        assert seen.faults() == []
        assert code is not None
        assert code["width"] > 90
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    for words in (
        RECORD_ID,
        "7",
        "registry",
        "Some maker's Meter & Co",
        "<b>",
        "second line",
        "1234567.8 Wh",
        "+08:00",
    ):
        assert words in text
    for row in rows(SHOWN.record, Words(language), ZONE, SHOWN.device):
        for line in (row.label, *row.lines):
            assert line in text
    assert COMPARISON.request.hex(" ") in text
    assert COMPARISON.answer.hex(" ") in text


def test_it_can_be_read_on_a_telephone(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(as_html(SHOWN, "both"), encoding="utf-8")
    with window(browser, path.as_uri(), width=NARROW) as seen:
        seen.page.goto(seen.url)
        assert seen.overflow() <= 0


def test_the_code_holds_the_id_and_there_is_none_before_it_is_signed(tmp_path: Path) -> None:
    assert 'class="code"' in as_html(SHOWN, "en")
    waiting = replace(SHOWN, record_id=None, state="waiting", before=RECORD_ID)
    page = as_html(waiting, "en")
    assert "<svg" not in page
    assert "not signed yet" in page
    assert f"an earlier record of this meter is {RECORD_ID}" in page
    assert "meterseal prove" not in page


def test_nothing_on_the_page_comes_from_elsewhere() -> None:
    page = as_html(SHOWN, "both")
    assert "default-src 'none'" in page
    assert re.findall(r"(?:src|href)\s*=|url\(|@import", page) == []


def test_a_record_with_the_least_has_no_holes() -> None:
    least = replace(
        RECORD, identity=None, ratios={}, reversed=False, comparisons=(), plate_serial="", seals=(), position="",
        photos=(), remarks="",
    )  # fmt: skip
    shown = replace(SHOWN, record=least, state="recorded", device="")
    text = as_text(shown, Words("en"))
    assert "nothing of itself" in text
    assert "No point was compared." in text
    assert "none: connected directly" in text
    assert "None" not in as_html(shown, "en")


def test_every_word_is_said_in_both_languages() -> None:
    assert {key for key, says in table().items() if set(says) != {"en", "zh"} or not all(says.values())} == set()
