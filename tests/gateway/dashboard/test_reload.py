"""The pages through a change of configuration: looked at and ordered on a page, and pages that move to another port."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from html import unescape
from http.client import HTTPException
from pathlib import Path

from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.gateway.dashboard.pages_site import Browser, pages_of, running
from tests.support.processes import free_port


def test_a_reload_from_the_page_moves_the_pages_and_bears_the_users_name(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    loaded = pages_of(tmp_path / "site", (502,), f'listen = "127.0.0.1:{port}"\n')
    with running(loaded) as server:
        browser = Browser(port)
        browser.login("ines")
        loaded.path.write_text(loaded.path.read_text().replace(f":{port}", f":{other}"))
        browser.get("/")
        assert browser.post("/acts/preview", {"form": browser.form, "next": "/configuration"}).status == 303
        fingerprint = re.search(r'name="fingerprint" value="([0-9a-f]{64})"', browser.get("/configuration").text)
        assert fingerprint is not None, "the page shows what would change, and offers to do it"
        with suppress(ConnectionError, HTTPException):  # the pages that were asked are no more
            browser.post("/acts/reload", {"form": browser.form, "fingerprint": fingerprint[1]})
        server.wait_for(f"pages at http://127.0.0.1:{other}/")
        moved = Browser(other)
        assert moved.login("ines").status == 303
        assert "meter-000" in unescape(moved.get("/").text)
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.events_of("gateway")]
    store.close()
    changes = [body.fields for body in bodies if isinstance(body, Event) and body.fields.get("at") == "change"]
    assert [change.get("user") for change in changes] == ["ines"], json.dumps([*map(str, changes)])
    assert [(change["why"], change["message"], change["facts"]) for change in changes] == [("reload", "reload-why", {})]
