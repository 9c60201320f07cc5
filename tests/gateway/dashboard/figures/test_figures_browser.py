"""The pages Energy and Emissions in a real browser: readable, not by colour alone, and by the keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell import chart_svg
from gateway.dashboard.shell.chart_steps import Step
from gateway.dashboard.shell.chart_svg import Frame
from tests.gateway.dashboard.figures.plant import Shown
from tests.gateway.dashboard.pages.test_trouble import CUT_OFF
from tests.gateway.dashboard.window import CHINESE_FONTS, NARROW, WIDE, chromium, window, with_font


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
    found = HTML.static(name)
    assert found is not None
    return f"<style>{found[0].decode()}</style>"


def test_pages_are_readable_in_a_browser(shown: Shown, browser: Browser) -> None:
    readable(shown, browser, "en", "light", WIDE)


@pytest.mark.parametrize("chinese", sorted(CHINESE_FONTS))
def test_pages_in_chinese_are_readable_on_a_phone_with_either_font(
    shown: Shown, browser: Browser, chinese: str
) -> None:
    with with_font(browser, chinese) as other:
        readable(shown, other, "zh", "dark", NARROW)
        with window(other, "", language="zh") as seen:
            seen.page.set_content('<b lang="zh-CN" style="font: 40px sans-serif">采集完整率</b>')
            assert {"wqy": "WenQuanYi", "noto": "Noto Sans CJK"}[chinese] in platform_font(seen.page)


def readable(shown: Shown, browser: Browser, language: str, theme: str, width: int) -> None:
    """Every page of a language: nothing that axe finds, and nothing wider than its place."""
    with window(browser, "", language=language, theme=theme, width=width) as seen:
        for key, page in shown.items():
            if key[2] == language:
                seen.page.set_content(whole(page))
                assert seen.faults() == [], key
                assert seen.overflow() <= 0, key
                assert seen.page.evaluate(CUT_OFF) == [], key


def platform_font(page: Page) -> str:
    """The font in which the browser writes the first bold text of a page."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("DOM.enable")
    devtools.send("CSS.enable")
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    node = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "b"})["nodeId"]
    fonts = devtools.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return str(max(fonts, key=lambda font: float(font["glyphCount"]))["familyName"])


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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_missing_stands_on_the_strip_of_a_chart_and_in_its_legend(
    shown: Shown, browser: Browser, theme: str
) -> None:
    """A frame, where bad is filled: by its shape, and in a colour that stands out from its ground."""
    steps = [Step(n, n + 1, 1.0, 1.0, 1.0, verdict) for n, verdict in enumerate(("good", "missing", "bad"))]
    svg = chart_svg.line(steps, Frame(0, 3, lambda ms, span: ""), "x", "W")
    for language, word in (("en", "missing"), ("zh", "缺失")):
        with window(browser, "", language=language, theme=theme) as seen:
            seen.page.set_content(whole(shown["/meters/{meter}", "", language]))
            key = seen.page.locator(".keys span:has(.k-missing)")
            assert key.inner_text().strip() == word
            seen.page.locator(".keys").first.evaluate("(e, svg) => e.insertAdjacentHTML('beforebegin', svg)", str(svg))
            look = "e => { const s = getComputedStyle(e); return [s.fill, s.stroke]; }"
            marks = {name: seen.page.locator(f".mark.{name}").first.evaluate(look) for name in ("missing", "bad")}
            assert marks["missing"] == key.locator("rect").evaluate(look)
            ground, frame = marks["missing"]
            assert marks["bad"][0] not in (ground, "none")
            card = seen.page.locator(".card").first.evaluate("e => getComputedStyle(e).backgroundColor")
            assert ground == card
            assert contrast(frame, card) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as browsers write them, ``rgb(…)`` (WCAG 2.1)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
