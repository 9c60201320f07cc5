"""Pages of a site in trouble: readable in every fault state, nothing cut off, and what they say of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.shell.html import Visitor
from tests.gateway.dashboard.page_trouble import trouble
from tests.gateway.dashboard.pages.test_views import recorded
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window

CUT_OFF = """[...document.querySelectorAll('.tile, .card, .verdict, td, th, .q, .tag, .big')]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'auto' && e.clientWidth > 1
    && getComputedStyle(e).display !== 'inline' && !e.closest('.scroll')
    && !(e.closest('thead') && getComputedStyle(e.closest('thead')).position === 'absolute'))
  .map((e) => e.outerHTML.slice(0, 160))"""
"""What is wider than the place that it has."""
BETWEEN = (760, 1024, 2560)
Pages = dict[tuple[str, str, str], str]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Every page by its name, language and theme."""
    loaded = recorded(tmp_path_factory.mktemp("trouble") / "site", 40)

    async def make() -> Pages:
        async with trouble(loaded) as made:
            return {
                (name, language, theme): each(Visitor(language, theme, "ines", "installer", "A" * 43))
                for name, each in made.items()
                for language, theme in (("en", "light"), ("zh", "dark"))
            }

    return asyncio.run(make())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", WIDE), ("zh", "dark", NARROW)])
def test_every_page_of_a_site_in_trouble_is_readable_and_nothing_is_cut_off(
    pages: Pages, browser: Browser, language: str, theme: str, width: int
) -> None:
    found = {}
    with window(browser, "", language=language, theme=theme, width=width) as seen:
        for (name, spoken, shade), html in pages.items():
            if (spoken, shade) == (language, theme):
                seen.page.set_content(html)
                found[name] = seen.faults()
                for wide in (width, *(BETWEEN if width == WIDE else ())):
                    seen.page.set_viewport_size({"width": wide, "height": 900})
                    found[name] += [f"{wide}: {shape}" for shape in seen.page.evaluate(CUT_OFF)]
                    if seen.overflow() > 0:
                        found[name].append(f"the page is {seen.overflow()} pixels wider than {wide}")
    assert len(found) > 12
    assert {name: faults for name, faults in found.items() if faults} == {}


def text_of(html: str) -> str:
    """What a page says, in one line."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_a_finished_alarm_looks_finished(pages: Pages) -> None:
    shown = pages["alarms", "en", "light"]
    cards = re.findall(r'<article class="card alarm (\w+)" id="alarm-\d+">(.*?)</article>', shown, re.DOTALL)
    assert [kind for kind, _ in cards] == ["critical", "error", "error", "warning", "notice", "over"]
    over = cards[-1][1]
    assert "q-over" in over
    assert "q-bad" not in over
    assert 'class="do"' not in over, "there is nothing to do any more"
    assert ", not acknowledged" in text_of(over)


def test_a_states_word_stands_beside_the_value_and_not_under_unit(pages: Pages) -> None:
    shown = pages["meter, silent", "en", "light"]
    cells = re.findall(
        r'<td class="num"><b>([^<]+)</b>( <span class="state">([^<]+)</span>)?</td><td>([^<]*)</td>', shown
    )
    assert ("5", "throttled by the grid operator", "") in [(digits, state, unit) for digits, _, state, unit in cells]
    assert ("5", "ground fault, the grid is disconnected", "") in [(d, state, unit) for d, _, state, unit in cells]
    assert ("4821", "", "kWh") in [(digits, state, unit) for digits, _, state, unit in cells]


def test_the_headline_says_so_where_every_value_is_uncertain_for_one_reason(pages: Pages) -> None:
    shown = text_of(pages["site, clock unknown", "en", "light"])
    assert "All values are uncertain: the gateway&#39;s clock was not synchronised" in shown
    assert "Normal operation" not in shown


def test_the_number_to_type_for_an_exchanged_meter_is_not_printed_above_the_box(pages: Pages) -> None:
    shown = pages["meter, exchanged", "en", "light"]
    assert "21043387" in shown[: shown.index('action="/acts/accept"')]
    assert "4711" not in shown


def test_every_is_shown_as_it_is_written(pages: Pages) -> None:
    assert "polled every 10s" in text_of(pages["meter, silent", "en", "light"])


def test_completeness_is_never_rounded_up_and_what_is_not_known_has_no_figure(pages: Pages) -> None:
    shown = pages["completeness", "en", "light"]
    assert re.findall(r'q-(\w+)">([\d.]+) %<', shown) == [("uncertain", text) for text in ("99.98", "0.00", "0.00")]
    first, second, third = shown.partition("<tbody>")[2].split("<tr>")[1:]
    assert ("no whole hour is counted yet" in first, "/charts" in first) == (True, False)
    assert ("not counted since" in second, "known only since" in second) == (True, True)
    link = re.search(r'href="/charts\?s=export-main&amp;from=([^&]+)&amp;to=([^"]+)"', second)
    assert link is not None
    begins, ends = map(datetime.fromisoformat, link.groups())
    assert ends - begins == timedelta(hours=2 * 89), "the gap, and half as much on either side"
    assert ("asleep all the time" in third, ">none<" in third) == (True, True)
