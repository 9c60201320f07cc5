"""One meter of a line is cut off: pages, both feeds and the figures show the same alarm, and all take it away again."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from benchmarks.failures.cut_channels import Shown
from benchmarks.failures.cut_plant import CUT, LINE, cut_plant
from benchmarks.failures.cut_site import Place, line_site, watched
from tests.gateway.dashboard.pages_site import Browser
from tests.system.demo_site import until


def test_a_cut_meter_is_shown_everywhere_and_nowhere_when_it_answers_again(tmp_path: Path) -> None:
    with (
        cut_plant(tmp_path / "plant") as plant,
        watched(tmp_path, partial(line_site, tmp_path / "site", plant)) as place,
    ):
        assert _shown(place) == set()
        plant.cut()
        found = {name: until(f"the alarm, by {name}", partial(place.shown, name)) for name in place.channels}
        (alarm,) = found["json"]
        assert alarm == Shown("comms-lost", CUT, LINE, alarm.since_ms)
        assert found == {name: [alarm] for name in place.channels}
        assert 0 < alarm.since_ms - place.newest_ms(CUT) <= 1000
        acknowledge(place.browser)
        plant.join()
        until("the end of it everywhere", lambda: not _shown(place))
        alarms = [(event.name, event.fields["code"], event.fields.get("raised")) for event in place.events()]
        assert alarms == [
            ("alarm", "comms-lost", True), ("alarm-acknowledged", "comms-lost", None), ("alarm", "comms-lost", False),
        ]  # fmt: skip


def _shown(place: Place) -> set[Shown]:
    return {alarm for name in place.channels for alarm in place.shown(name)}


def acknowledge(browser: Browser) -> None:
    """As somebody does who has the page of alarms before him."""
    page = browser.get("/alarms").text
    form = {name: re.search(f'name="{name}" value="([0-9]+)"', page) for name in ("id", "shown")}
    fields = {name: found[1] for name, found in form.items() if found is not None}
    assert browser.post("/acts/acknowledge", {"form": browser.form, **fields}).status == 303
