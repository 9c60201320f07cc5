"""Shapes of meters and readings: decimals as recorded, no key for what is not known."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO

import pytest

from gateway.api.meters import completeness_of
from gateway.api.shapes.bodies import reading_of
from gateway.api.shapes.models import json_of
from gateway.api.shapes.reading_writers import ItemsWriter
from gateway.clock import HOUR_MS
from gateway.history.completeness import Completeness, Window
from gateway.history.value_lines import lines_of
from ledger_client.formats.senml import Quality, Reading, Value

HOUR = 480_000 * HOUR_MS


VALUES = (
    Value("energy_import", Decimal("12345678901234567.8900"), "Wh"),
    Value("small", Decimal("1E-9"), "W"),
    Value("power_factor", 0.1, "/"),
    Value("count", 2**62),
    Value("state", 'on "\\ 并网\u2028'),
    Value("closed", True),
    Value("voltage", None, "V", Quality.COMM_FAIL, 250),
)


@pytest.mark.parametrize(("record", "clock", "state"), [("m/0/1", "S", "live"), ("", "", "not-recorded"), ("", "", "")])
def test_what_is_written_is_what_the_model_says(record: str, clock: str, state: str) -> None:
    model = reading_of("g", "m", Reading(HOUR, VALUES), True, record or None, clock or None)
    file = BytesIO()
    writer = ItemsWriter(file, lambda reading: ("g", True), lambda: None)
    writer.write(lines_of("m", Reading(HOUR, VALUES), HOUR, record, clock)._replace(state=state))
    writer.end()
    expected = json_of(model.model_copy(update={"state": state or None}))
    written = json.loads(file.getvalue(), parse_float=Decimal)
    assert written == {"items": [json.loads(expected, parse_float=Decimal)]}


def test_numbers_have_the_decimals_that_were_recorded() -> None:
    text = json_of(reading_of("g", "m", Reading(HOUR, VALUES), False, "m/0/1", None)).decode()
    assert '"value":12345678901234567.8900,' in text
    assert '"value":0.000000001,' in text
    found = json.loads(text, parse_float=Decimal)
    assert [one.get("value") for one in found["values"]] == [
        Decimal("12345678901234567.8900"), Decimal("1E-9"), Decimal("0.1"), 2**62, "on \"\\ 并网\u2028", True, None
    ]  # fmt: skip
    assert found["values"][-1] == {
        "point": "voltage", "unit": "V", "quality": "missing", "bits": int(Quality.COMM_FAIL),
        "words": found["values"][-1]["words"], "time": "2024-10-04T00:00:00.250Z",
    }  # fmt: skip
    assert found.keys() == {"gateway", "meter", "time", "reversed", "quality", "record", "values"}


def test_a_share_that_is_not_known_has_no_key() -> None:
    day = Window(24, HOUR - 24 * HOUR_MS, HOUR, True, 1440, 1080, 0)
    week = Window(168, HOUR - 168 * HOUR_MS, HOUR, False, 1440, 1440, 0)
    night = Window(720, HOUR - 720 * HOUR_MS, HOUR, True, 60, 0, 60)
    found = json.loads(json_of(completeness_of(Completeness("m", 0, HOUR, False, (day, week, night), (0, 3_600_000)))))
    assert [window.get("share") for window in found["windows"]] == [0.75, None, None]
    assert all("share" not in window for window in found["windows"][1:])
    assert found["gap"] == {"from": "1970-01-01T00:00:00.000Z", "to": "1970-01-01T01:00:00.000Z"}
