"""The templates of docs/feeds.md for Home Assistant, rendered from the feed's messages in Jinja's sandbox."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.feeds import json_messages as messages
from gateway.feeds.reading_message import FeedReading
from ledger_client.formats.senml import Quality, Reading, Value

PAGE = Path(__file__).parents[3] / "docs" / "feeds.md"
GOOD = Value("energy_export", Decimal("1234.50"), "kWh")
LACKING = Value("energy_export", None, "kWh", Quality.COMM_FAIL)
OTHER = Value("power", Decimal(7), "W")


def shown() -> dict[str, str]:
    """What the page has a sensor be configured with."""
    part = PAGE.read_text().partition("## Home Assistant")[2].partition("## ")[0]
    (yaml,) = re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)
    return {key: value.strip('"') for key, value in re.findall(r"(?m)^\W*(\w+): (.+)$", yaml)}


def rendered(template: str, data: bytes) -> str:
    """As Home Assistant renders a template of a message: ``value_json`` is what it holds."""
    return ImmutableSandboxedEnvironment().from_string(template).render(value_json=json.loads(data)).strip()


def message(*values: Value) -> bytes:
    """A message of two readings, of which the newer one has these values."""
    older = Reading(1_795_650_000_000, (Value("energy_export", Decimal(1), "kWh"),))
    readings = (older, Reading(1_795_650_010_000, values))
    return messages.readings(
        [FeedReading("export-main", r, "S", f"export-main/00/{n}") for n, r in enumerate(readings)]
    )


def test_a_sensor_shows_the_newest_value_and_never_a_zero_in_place_of_none() -> None:
    template = shown()["value_template"]
    assert rendered(template, message(OTHER, GOOD)) == "1234.5"
    assert rendered(template, message(LACKING, OTHER)) == "None"
    assert rendered(template, message(OTHER)) == "None"


def test_the_key_values_is_no_attribute_in_jinja() -> None:
    wrong = "{{ value_json.readings[-1].values }}"
    assert "built-in method values" in rendered(wrong, message(GOOD))
    assert all(".values" not in template for key, template in shown().items() if key.endswith("_template"))


def test_its_attributes_are_the_quality_and_the_record() -> None:
    template = shown()["json_attributes_template"]
    good, lacking, absent = (json.loads(rendered(template, message(*v))) for v in ((GOOD,), (LACKING,), (OTHER,)))
    assert good == {"verdict": "good", "bits": 0, "words": [], "record": "export-main/00/1"}
    assert lacking["verdict"] != "good"
    assert lacking["words"]
    assert absent == {"record": "export-main/00/1"}


def test_it_is_available_while_the_feed_is_connected() -> None:
    sensor, topics = shown(), messages.Topics("yunnan-hydro-07")
    assert sensor["state_topic"] == sensor["json_attributes_topic"] == topics.meter("export-main")
    assert sensor["availability_topic"] == topics.status
    template = sensor["availability_template"]
    assert rendered(template, messages.status(online=True, since_ms=1)) == "online"
    assert rendered(template, messages.status(online=False)) == "offline"
