"""A plant whose energy and emissions all tests of these pages look at, and its pages."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.dashboard.shell.page import Answer
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from tests.gateway.dashboard.figures.plant import PagesPlant, Shown
from tests.gateway.dashboard.looks import looker


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> PagesPlant:
    made = PagesPlant(tmp_path_factory.mktemp("figures") / "site", int(time.time() * 1000))
    made.run()
    return made


@pytest.fixture(scope="session")
def shown(plant: PagesPlant) -> Shown:
    """Every page by path, view and language."""
    found: dict[tuple[str, str, str], str] = {}

    def work(site: GatewayContext) -> None:
        look, store = looker(site), Database(plant.site.loaded.database, read_only=True)

        def see(*asked: Any) -> Answer:
            while b"data-again" in (answer := look(*asked)).body:
                time.sleep(0.05)
            return answer

        for language in ("en", "zh"):
            for path in ("/energy", "/emissions"):
                for view in ("hour", "day", "month"):
                    query = {"view": view, "at": plant.day}
                    found[path, view, language] = see(path, store, {}, query, language).body.decode()
            for path in ("/", "/meters/{meter}"):
                found[path, "", language] = see(path, store, {"meter": "export-main"}, {}, language).body.decode()
        rows = next((plant.site.loaded.data / "statements").glob("*.mrows"))
        data = rows.read_bytes()
        for name, content in (("damaged", data[:-1] + b"x"), ("cut", data[:100])):
            rows.write_bytes(content)
            found["/energy", name, "en"] = fresh(site, store, plant.day)
        rows.unlink()
        found["/energy", "lost", "en"] = fresh(site, store, plant.day)
        rows.write_bytes(data)
        store.close()

    plant.with_pages(work)
    return found


def fresh(site: GatewayContext, store: Database, day: str) -> str:
    """The page as who has looked at nothing yet gets it."""
    look = looker(site)
    while b"data-again" in (body := look("/energy", store, {}, {"view": "hour", "at": day}, "en").body):
        time.sleep(0.05)
    return body.decode()
