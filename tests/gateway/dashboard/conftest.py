"""One running gateway with pages, and its two users logged in, for all tests that only look at it from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.dashboard.pages_site import Browser, plain_site


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with plain_site(tmp_path_factory.mktemp("pages") / "site") as found:
        yield found


@pytest.fixture(scope="session")
def logged_in(port: int) -> dict[str, Browser]:
    browsers = {name: Browser(port) for name in ("ines", "vera")}
    for name, browser in browsers.items():
        assert browser.login(name).status == 303
    return browsers


@pytest.fixture
def installer(logged_in: dict[str, Browser]) -> Browser:
    return logged_in["ines"].again()


@pytest.fixture
def viewer(logged_in: dict[str, Browser]) -> Browser:
    return logged_in["vera"].again()
