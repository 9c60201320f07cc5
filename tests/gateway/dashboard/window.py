"""Debian's chromium, and windows in it that fail a test for whatever the browser complains about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.system.demo_site import until

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
CHINESE_FONTS = {"wqy": Path("/usr/share/fonts/truetype/wqy"), "noto": Path("/usr/share/fonts/opentype/noto")}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
NARROW, WIDE = 360, 1280
PATIENCE_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for the time of a ``with``."""
    assert CHROMIUM.exists(), "scripts/test installs it: apt-get install chromium"
    with sync_playwright() as playwright, _launched(playwright.chromium) as browser:
        yield browser


@contextmanager
def with_font(browser: Browser, chinese: str) -> Iterator[Browser]:
    """One more browser, which has this one of ``CHINESE_FONTS`` for Chinese: their characters are not equally wide, and
    phones have Noto."""
    with TemporaryDirectory() as folder:
        fonts = str(_only(chinese, Path(folder)))
        with _launched(browser.browser_type, FONTCONFIG_FILE=fonts) as other:
            yield other


@contextmanager
def _launched(kind: BrowserType, **environment: str) -> Iterator[Browser]:
    browser = kind.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, env={**os.environ, **environment})
    try:
        yield browser
    finally:
        browser.close()


def _only(chinese: str, folder: Path) -> Path:
    """A configuration of fonts without the other Chinese ones."""
    assert CHINESE_FONTS[chinese].is_dir(), f"scripts/test installs it: the font {chinese}"
    others = "".join(f"<glob>{path}/*</glob>" for name, path in CHINESE_FONTS.items() if name != chinese)
    path = folder / "fonts.conf"
    path.write_text(
        f"<fontconfig><include>/etc/fonts/fonts.conf</include><cachedir>{folder}</cachedir>"
        f"<selectfont><rejectfont>{others}</rejectfont></selectfont></fontconfig>"
    )
    return path


@dataclass(slots=True)
class Window:
    """A page with a visitor of its own; ``complaints``: what the browser had to say."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the gateway, which must be there."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}\n{answer.text()}"

    def login(self, user: str) -> None:
        """Log in, and see the site page."""
        self.open("/login")
        self.page.fill("[name=user]", user)
        self.page.fill("[name=password]", PASSWORDS[user])
        self.page.click("form button.main")
        self.page.wait_for_selector("table")

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width

    def faults(self) -> list[str]:
        """What axe finds that is serious or critical."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def until(self, script: str) -> None:
        """Wait until a condition of the page is true. The browser's own way to wait evaluates text in the page, which
        the pages forbid."""
        until(script, lambda: self._look(script))

    def _look(self, script: str) -> bool:
        try:
            return bool(self.page.evaluate(script))
        except PlaywrightError as error:
            if "context was destroyed" in str(error):  # the page is being loaded anew
                return False
            raise


@contextmanager
def window(
    browser: Browser, url: str, *, language: str = "en", theme: str = "light", width: int = WIDE, script: bool = True
) -> Iterator[Window]:
    """A window of a new visitor; at its end the browser must have complained about nothing."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        locale=LOCALES[language],
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=script,
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE_MS)
    opened = Window(context.new_page(), url)
    opened.page.on(
        "console", lambda message: opened.complaints.append(message.text) if message.type == "error" else None
    )
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    try:
        yield opened
    finally:
        context.close()
    assert opened.complaints == [], opened.complaints
