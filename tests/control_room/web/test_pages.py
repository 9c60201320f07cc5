"""Pages of the control room over HTTP and in a browser: what is wrong is red, named, and nothing that soothes."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from control_room.store import schema
from control_room.store.connection import Database
from control_room.web.html import HTML
from control_room.web.site import Site
from gateway.dashboard.shell.catalog import SHELL, read, table_of
from gateway.messages.languages import LANGUAGES
from tests.control_room.web.fleet_site import (
    EVIL,
    HOUR,
    NOW_MS,
    alarm,
    gateway,
    meter,
    opened,
    refusal,
    served,
    trust_file,
)
from tests.gateway.dashboard.pages_site import PASSWORDS, Browser
from tests.gateway.dashboard.window import chromium, window
from tests.support.brokers import postgres

TRUSTED = ("away", "evil", "forked", "hole", "never", "pv-01", "waits")
BAD = ("away", "evil", "forked", "hole", "never")


@dataclass(frozen=True, slots=True)
class Room:
    """A control room with pages, whose visitors are logged in."""

    port: int
    site: Site
    db: Database
    ines: Browser
    vera: Browser


def fill(db: Database) -> None:
    """Gateways of every kind."""
    of = {name: gateway(db, name) for name in ("away", "forked", "hole", "pv-01", "waits")}
    ago = "to_timestamp(%s / 1000.0)"
    db.run(f"UPDATE gateways SET heard = {ago}, newest = {ago} WHERE name = 'away'", NOW_MS - HOUR, NOW_MS - HOUR)
    db.run("UPDATE gateways SET forked = 1 WHERE name = 'forked'")
    db.run("UPDATE gateways SET status = NULL, status_at = NULL WHERE name = 'waits'")
    db.run(
        "INSERT INTO holes (gateway, batches, since, next_ask, gone) VALUES (%s, '{[7,9)}', now(), now(), 'pruned')",
        of["hole"],
    )
    refusal(db, "evil")
    meter(db, of["pv-01"], "grid meter <b>")
    alarm(db, of["away"], "database-damaged")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, cluster: postgres.Cluster) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("pages")
    with ExitStack() as stack:
        database = stack.enter_context(postgres.database(cluster, 900))
        db = stack.enter_context(closing(opened(database)))
        schema.make(db)
        fill(db)
        port, site = stack.enter_context(served(folder, database, TRUSTED))
        ines, vera = Browser(port), Browser(port)
        assert [ines.login("ines").status, vera.login("vera").status] == [303, 303]
        yield Room(port, site, db, ines, vera)


def rows(page: str) -> dict[str, str]:
    """The rows of the list of gateways, in their order."""
    found = re.findall(r'<tr><th scope="row" class="wide"><a href="/gateways/([^"]+)">.*?</tr>', page, re.DOTALL)
    parts = re.split(r'<tr><th scope="row" class="wide"><a href="/gateways/', page)[1:]
    return dict(zip(found, parts, strict=True))


def test_the_fleet_has_every_gateway_the_worst_first_and_what_is_not_known_is_no_number(room: Room) -> None:
    page = room.vera.get("/").text
    assert sorted(list(rows(page))[:5]) == sorted(BAD)
    assert list(rows(page))[5:] == ["waits", "pv-01"]
    assert 'class="verdict bad"' in page
    never = rows(page)["never"]
    assert never.count("q-missing") == 6
    assert not re.search(r">\s*0\s*<", never)
    assert "q-good" not in rows(page)["away"], "what it was an hour ago"
    for name in BAD:
        assert "q-bad" in rows(page)[name]
        assert re.search(r'<span class="sub do">.{20,}?</span>', rows(page)[name]), name
    assert "q-bad" not in rows(page)["pv-01"]


def test_green_only_where_all_of_them_are_well(tmp_path: Path, database: postgres.Database) -> None:
    with closing(opened(database)) as db:
        schema.make(db)
        gateway(db, "pv-01")
        with served(tmp_path, database, ["pv-01"]) as (port, site):
            vera = Browser(port)
            vera.login("vera")
            assert 'class="verdict good"' in vera.get("/").text
            number = alarm(db, None, "database-damaged", "control")
            assert 'class="verdict bad"' in vera.get("/").text
            db.run("DELETE FROM alarms WHERE id = %s", number)
            trust_file(tmp_path / "trust.toml", ["pv-01", "pv-02"])
            site.look()
            assert 'class="verdict bad"' in vera.get("/").text, "one that was never heard"
            trust_file(tmp_path / "trust.toml", ["pv-01"])
            site.look()
            assert 'class="verdict good"' in vera.get("/").text
            (tmp_path / "trust.toml").write_text("[[key")
            site.look()
            page = vera.get("/").text
            assert 'class="verdict good"' not in page
            assert site.trouble is not None
            trust_file(tmp_path / "trust.toml", [])
            site.look()
            db.run("TRUNCATE gateways CASCADE")
            assert 'class="verdict good"' not in vera.get("/").text, "no gateway at all"
            ours = "datname = current_database() AND pid <> pg_backend_pid()"
            db.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
            assert {vera.get("/").status for _ in range(2)} == {503}, "each of the two threads sees it once"
            assert vera.get("/").status == 200


def test_pages_show_what_came_in_and_nothing_of_it_is_markup(room: Room) -> None:
    grid = "/gateways/pv-01/meters/grid%20meter%20%3Cb%3E"
    paths = ("/", "/holes", "/refused", "/alarms", grid, *(f"/gateways/{name}" for name in TRUSTED))
    answers = {path: room.vera.get(path) for path in paths}
    assert {path: one.status for path, one in answers.items()} == dict.fromkeys(paths, 200)
    seen = {path: one.text for path, one in answers.items()}
    meter_page = seen[grid]
    assert "1501.5" in meter_page.replace("\u202f", "")
    assert 'class="gap"' in meter_page
    for path, page in seen.items():
        assert EVIL not in page, path
        assert "meter <b>" not in page, path
    assert "verdict good" in seen["/gateways/pv-01"]
    assert "meterseal-control load" in seen["/holes"]
    assert "database-damaged" not in seen["/gateways/pv-01"]
    wrong = (
        "/gateways/nobody",
        "/gateways/%00",
        "/gateways/pv-01/meters/nothing",
        "/gateways/pv-01/meters/%00",
        "/holes?gateway=%00",
    )
    assert {path: room.vera.get(path).status for path in wrong} == dict.fromkeys(wrong, 404)


def test_an_alarm_is_acknowledged_here_by_an_installer_once(room: Room) -> None:
    number = alarm(room.db, None, "clock", "control")
    fields = {"id": str(number), "note": "seen\0 it", "next": "/alarms"}
    page = room.vera.get("/alarms").text
    assert "/acts/acknowledge" not in page
    assert room.vera.post("/acts/acknowledge", {**fields, "form": room.vera.form}).status == 403
    for _ in range(2):
        room.ines.get("/alarms")
        assert room.ines.post("/acts/acknowledge", {**fields, "form": room.ines.form}).status == 303
        page = room.ines.get("/alarms").text
    assert 'class="said bad"' in page
    kept = room.db.all("SELECT acked_by, acked_note FROM alarms WHERE id = %s", number)
    assert kept == [("ines", "seen it")]


def test_a_browser_finds_nothing_wrong_with_the_fleet_and_a_meter(room: Room) -> None:
    paths = ("/", "/gateways/away", "/gateways/pv-01/meters/grid%20meter%20%3Cb%3E", "/alarms", "/refused")
    url = f"http://127.0.0.1:{room.port}"
    with chromium() as browser:
        for language, theme, width in (("en", "light", 1280), ("zh", "dark", 360)):
            with window(browser, url, language=language, theme=theme, width=width) as seen:
                seen.open("/login")
                seen.page.fill("[name=user]", "ines")
                seen.page.fill("[name=password]", PASSWORDS["ines"])
                seen.page.click("form button.main")
                seen.page.wait_for_selector("table")
                for path in paths:
                    seen.open(path)
                    assert (seen.faults(), seen.overflow()) == ([], 0), (path, language, width)


def test_messages_are_there_in_both_languages_and_each_that_a_template_asks_for() -> None:
    table = table_of(HTML.package)

    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert [key for key, says in table.items() if set(says) != set(LANGUAGES)] == []
    assert [key for key, says in table.items() if fields(says["en"]) != fields(says["zh"])] == []
    shell, ours = (
        {(section, name) for section, says in read(one).items() for name in says} for one in (SHELL, HTML.package)
    )
    assert shell & ours == set()
    for path in (files(HTML.package) / "templates").iterdir():
        asked = re.findall(r"\bt\('([a-z-]+\.[A-Za-z0-9-]*)'", path.read_text())
        assert [
            key for key in asked if not any(k == key or (key[-1] in "-." and k.startswith(key)) for k in table)
        ] == []


def test_the_pages_load_no_gateway() -> None:
    code = "import sys, control_room.web.pages, gateway.dashboard.shell.asgi_server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("gateway.")}
    assert {name for name in ours if name.startswith(("gateway.config", "gateway.storage", "gateway.runtime"))} == set()
    assert "sqlite3" not in loaded
