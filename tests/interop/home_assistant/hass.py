"""Home Assistant with its MQTT integration alone, run by a Python that has it: ``hass.py FOLDER PORT``.

It says ``ready`` once it is connected to the broker at this port; then it answers each line of its input with one of
JSON: ``entities``: what it has of MQTT, by unique id; ``log``: its warnings and errors so far.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, config_entries, core, loader  # type: ignore[import-not-found]
from homeassistant.helpers import entity_registry  # type: ignore[import-not-found]

FORWARDS = "calls async_forward_entry_setups for integration mqtt"
"""A warning of Home Assistant about itself: two kinds of entities that are discovered in the same moment are loaded
side by side, and the one that is later finds that the other has given the lock of the entry back."""


class Kept(logging.Handler):
    """Warnings and errors, as text, but for ``FORWARDS``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if FORWARDS not in text:
            self.lines.append(f"{record.name}: {text}")


async def started(folder: Path, port: int) -> core.HomeAssistant:
    """Home Assistant with one entry, of MQTT. What MQTT asks for besides serves its own dialogues."""
    hass = core.HomeAssistant(str(folder))
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config.components |= {"http", "file_upload"}
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    await hass.async_start()
    entry = config_entries.ConfigEntry(
        data={"broker": "127.0.0.1", "port": port, "protocol": "5"},
        discovery_keys={},
        domain="mqtt",
        minor_version=1,
        options={},
        source=config_entries.SOURCE_USER,
        subentries_data=None,
        title="broker",
        unique_id=None,
        version=2,
    )
    await hass.config_entries.async_add(entry)
    assert entry.state is config_entries.ConfigEntryState.LOADED, entry.reason
    return hass


def entities(hass: core.HomeAssistant) -> dict[str, Any]:
    """By unique id: entity id, state and attributes."""
    found = {}
    for entry in entity_registry.async_get(hass).entities.values():
        state = hass.states.get(entry.entity_id)
        now = None if state is None else {"state": state.state, "attributes": dict(state.attributes)}
        found[entry.unique_id] = {"entity": entry.entity_id, "now": now}
    return found


async def main(folder: Path, port: int) -> None:
    kept = Kept()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger().addHandler(kept)
    hass = await started(folder, port)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await hass.async_block_till_done()
        answer = entities(hass) if line.strip() == "entities" else kept.lines
        print(json.dumps(answer, default=str), flush=True)
    await hass.async_stop(force=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
