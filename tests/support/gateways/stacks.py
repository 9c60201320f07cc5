"""A site with a bus of HJ 212 loggers: one station, two kinds of its data."""

from __future__ import annotations

from pathlib import Path

from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from tests.support.processes import free_port
from tests.support.samples import START_S, site

BUS = """
[[bus]]
name = "stacks"
type = "hj212"
listen = "127.0.0.1:{port}"

[[bus.meter]]
name = "stack-now"
profile = "hj212-cems-realtime"
address = "A1"
every = "60s"
password = "123456"
points = ["so2", "oxygen", "flow", "source_time"]

[[bus.meter]]
name = "stack-hours"
profile = "hj212-cems-hour"
address = "A1"
every = "1h"
password = "123456"
points = ["so2_avg", "flow_amount"]
"""


def stacks(folder: Path) -> tuple[Config, int]:
    """A site with two meters of one station and no ledger; its port."""
    path, port = site(folder).path, free_port()
    text = path.read_text()
    bus = BUS.format(port=port)
    path.write_text(
        text[: text.index("\n[[bus]]") + 1] + bus + text[text.index("\n[seal]") :].partition("[[ledger]]")[0]
    )
    loaded = load_config(path)
    make_missing(loaded, START_S)
    return loaded, port
