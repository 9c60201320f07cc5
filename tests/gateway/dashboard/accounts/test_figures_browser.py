"""The pages Energy and Emissions in a real browser: readable, not by colour alone, and by the keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.render.html import static
from tests.gateway.dashboard.accounts.plant import Shown
from tests.gateway.dashboard.pages.test_trouble import CUT_OFF
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def whole(page: str) -> str:
    """The page with its sheets in it, for a browser that has no server."""
    page = re.sub(r"<script.*?</script>", "", page)
    return re.sub(r'<link rel="stylesheet" href="/static/([a-z.]+)[^>]*>', lambda found: sheet(found[1]), page)


def sheet(name: str) -> str:
    """A sheet as a part of a page."""
    found = static(name)
    assert found is not None
    return f"<style>{found[0].decode()}</style>"


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", WIDE), ("zh", "dark", NARROW)])
def test_pages_are_readable_in_a_browser(shown: Shown, browser: Browser, language: str, theme: str, width: int) -> None:
    with window(browser, "", language=language, theme=theme, width=width) as seen:
        for key, page in shown.items():
            if key[2] == language:
                seen.page.set_content(whole(page))
                assert seen.faults() == [], key
                assert seen.overflow() <= 0, key
                assert seen.page.evaluate(CUT_OFF) == [], key


def test_the_keyboard_goes_from_the_strip_to_the_reason(shown: Shown, browser: Browser) -> None:
    with window(browser, "") as seen:
        seen.page.set_content(whole(shown["/energy", "hour", "en"]))
        cells = seen.page.locator(".strip li")
        assert cells.count() == 96
        link = seen.page.locator(".strip .st-split a")
        assert link.inner_text().replace("\n", " ").startswith("÷")
        link.focus()
        seen.page.keyboard.press("Tab")
        after = seen.page.evaluate("document.activeElement.closest('li').className")
        assert "st-bridged" in after, "each cell is reached"
        seen.page.keyboard.press("Shift+Tab")
        seen.page.keyboard.press("Enter")
        reason = seen.page.locator("tr:target")
        assert "was not read for 30 s around" in reason.inner_text()


def test_statuses_differ_by_sign_word_and_pattern(shown: Shown, browser: Browser) -> None:
    with window(browser, "") as seen:
        looks: dict[str, tuple[str, str]] = {}
        for path in ("/energy", "/emissions"):
            seen.page.set_content(whole(shown[path, "hour", "en"]))
            for cell in seen.page.locator(".strip li:has(a)").all():
                status = str(cell.get_attribute("class")).split()[1]
                style = cell.evaluate("e => getComputedStyle(e).borderStyle + ' ' + getComputedStyle(e).borderWidth")
                looks[status] = (str(cell.locator("span").first.inner_text()), str(style))
        assert set(looks) >= {"st-measured", "st-split", "st-bridged", "st-unknown", "st-unallocated"}
        assert set(looks) >= {"st-valid", "st-missing", "st-stopped", "st-no-edge"}
        signs = {status: sign for status, (sign, _) in looks.items()}
        assert len(set(signs.values())) == len(signs) - 1, "measured and valid have one sign"
        assert len({style for _, style in looks.values()}) > 3
