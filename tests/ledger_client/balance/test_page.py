"""Balance page in a real browser: exact figures, links that lead somewhere, no network, both languages, small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ledger_client.balance import result as codes
from ledger_client.balance.given import Chosen
from ledger_client.balance.page import amounts
from ledger_client.balance.page.render import render
from ledger_client.balance.page.words import LANGUAGES, table
from ledger_client.balance.reckoning import balance
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window
from tests.ledger_client.balance.year import HOURS, year
from tests.support.certificates.balanced import factor, hour, retired, source, terms

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("balance")
    found = {language: folder / f"{language}.html" for language in LANGUAGES}
    for language, path in found.items():
        path.write_text(render(year(), language), encoding="utf-8")
    return found


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_readable_and_asks_nobody(
    pages: dict[str, Path], browser: Browser, language: str, width: int
) -> None:
    with window(browser, pages[language].as_uri(), language=language, width=width) as seen:
        asked: list[str] = []
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.goto(seen.url)

        assert asked == [seen.url]
        assert seen.overflow() <= 0
        assert seen.page.locator("svg.plot").count() == 5
        assert seen.page.locator("#hours tr[id^=h]").count() == HOURS
        assert seen.page.evaluate("document.documentElement.lang").startswith(language)


def test_axe_finds_nothing(browser: Browser, tmp_path: Path) -> None:
    """Of a day: axe looks at each cell."""
    small = balance(terms(), [source([hour(n, 1_000_500) for n in range(24)])], [retired(9, 700)], [])
    for theme in ("light", "dark"):
        path = tmp_path / f"{theme}.html"
        path.write_text(render(small, "en"), encoding="utf-8")
        with window(browser, path.as_uri(), theme=theme) as seen:
            seen.page.goto(seen.url)
            seen.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            assert seen.faults() == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_leads_to_a_place_in_the_page(pages: dict[str, Path], language: str) -> None:
    text = pages[language].read_text("utf-8")
    places = re.findall(r'\bid="?([\w-]+)', text)
    links = re.findall(r'href="?([^">\s]+)', text)

    assert len(places) == len(set(places))
    assert len(links) > HOURS
    assert {link for link in links if link[0] != "#" or link[1:] not in places} == set()


def test_a_click_on_the_carpet_opens_that_hour(pages: dict[str, Path], browser: Browser) -> None:
    """In the middle of the cell of the hundredth day, 13 o'clock."""
    with window(browser, pages["en"].as_uri()) as seen:
        seen.page.goto(seen.url)
        plot = seen.page.locator("svg[data-first]").first
        box = plot.bounding_box()
        assert box is not None
        scale = box["width"] / 960
        x, y = (74 + 876 * 99.5 / 365) * scale, (24 + 150 * (24 - 13.5) / 24) * scale
        plot.click(position={"x": x, "y": y})
        row = seen.page.locator(":target")

        assert row.get_attribute("id") == f"h{99 * 24 + 13}"
        assert row.is_visible()
        assert row.locator("th").inner_text() == "10 13:00"


def test_a_link_unfolds_its_hour_without_a_mouse(pages: dict[str, Path], browser: Browser) -> None:
    with window(browser, pages["en"].as_uri()) as seen:
        seen.page.goto(seen.url)
        summary = seen.page.locator("#duration summary")
        summary.focus()
        seen.page.keyboard.press("Enter")
        link = seen.page.locator("#duration a").first
        link.focus()
        seen.page.keyboard.press("Enter")

        peak = max(year().hours, key=lambda of: of.load_milli)
        target = seen.page.locator(":target")
        assert target.is_visible()
        assert target.locator("td").first.inner_text() == amounts.kwh(peak.load_milli)


def test_figures_are_those_of_the_balance(pages: dict[str, Path], browser: Browser) -> None:
    of = year()
    with window(browser, pages["en"].as_uri(), script=False) as seen:
        seen.page.goto(seen.url)
        figures = {
            name: seen.page.locator(f'.keys a[href="#{name}"]').all_inner_texts()
            for name in ("months", "hours", "emissions", "offsets", "waterfall")
        }  # fmt: skip
        matching = [row.inner_text().split("\t") for row in seen.page.locator("#matching tbody tr").all()]
        falls = seen.page.locator("#waterfall text.v").all_text_contents()

    assert figures["months"] == [amounts.kwh(of.load_milli), amounts.kg(of.location_g), amounts.kg(of.market_g)]
    assert figures["hours"] == [amounts.kwh(of.hourly.covered_milli)]
    assert figures["emissions"] == ["70,000.000"]
    assert figures["offsets"] == ["40,000.000"]
    assert figures["waterfall"] == [amounts.kg(of.residual_g)]
    assert [row[1] for row in matching] == [
        amounts.kwh(one.covered_milli) for one in (of.hourly, of.monthly, of.yearly)
    ]  # fmt: skip
    assert falls == [amounts.kg(mass) for _, mass in of.waterfall]


@pytest.mark.parametrize(("certificates", "gateways"), [(3, 1), (4, 1), (1, 50)])
def test_a_year_is_small(certificates: int, gateways: int) -> None:
    """Three certificates for each hour that has some are all named; more of them, or rows of 50 gateways, in part."""
    of = year(certificates, gateways)
    for language in LANGUAGES:
        assert len(render(of, language).encode()) <= MOST_BYTES
    assert ("more in hours.csv" in render(of, "en")) is (certificates * gateways > 3)


def test_what_stands_in_the_way_is_said_and_names_are_no_markup() -> None:
    """Statements and factors that a finding names lead to their rows."""
    open_to = terms(boundary="", exclusions=("<script>alert(1)</script>",), party="works&co", partial=True)
    page = render(balance(open_to, [source([hour(1, 1_000_000)], complete=False)], [], []), "en")

    assert "<script>alert" not in page
    assert "works&amp;co" in page
    assert page.count("stands in the way") == 4
    assert "No verifier attests this balance." in page
    assert "1 statements were not recomputed" in page
    assert "The boundary is not named." in page
    assert "1 statements are not complete. <a href=#s0>S1</a>" in page
    assert "✗ Not neutralised" in page


def test_every_finding_and_step_has_words() -> None:
    named = {f"finding.{code}" for code in codes.FINDINGS} | {f"step.{code}" for code, _ in year().waterfall}
    named |= {f"kind.{kind}" for kind in ("average", "residual", "device")}

    assert named <= set(table())
    assert all(set(says) == set(LANGUAGES) and all(says.values()) for says in table().values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_called_carbon_neutral(pages: dict[str, Path], language: str) -> None:
    text = pages[language].read_text("utf-8").lower()
    assert not re.search(r"carbon[\s-]*neutral|碳中和", text)
    assert ("neutralised" in text) is (language == "en")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (amounts.kwh(1), "0.000001"),
        (amounts.kwh(1_234_567_000_000), "1,234,567.000"), (amounts.kwh(500_000), "0.500"),
        (amounts.kg(-1_500), "−1.500"), (amounts.kg(0), "0.000"),
        (amounts.percent(2, 3), "66.66 %"), (amounts.percent(1, 1), "100.00 %"), (amounts.percent(0, 0), "—"),
    ],
)  # fmt: skip
def test_amounts_are_exact(shown: str, expected: str) -> None:
    assert shown == expected


def test_an_empty_balance_has_a_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(render(balance(terms(), [source([])], [], []), "zh"), encoding="utf-8")
    with window(browser, path.as_uri(), language="zh") as seen:
        seen.page.goto(seen.url)
        assert seen.page.locator("svg.plot").count() == 5


def test_the_factor_of_a_device_is_named_at_its_hour() -> None:
    waste = Chosen(factor("device", "0.1"), False)
    page = render(balance(terms(), [source([hour(1, 1_000_000)])], [retired(1, 900, factor=waste)], []), "en")
    row = next(line for line in page.splitlines() if "<tr id=h0>" in line)
    assert "0–900 (0.900 kWh, <a href=#f2>F3</a>)" in row
