"""A statement that is killed at each of its stations, beside a running gateway process: nothing twice, and the next run
goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.accounting.plans.history import History, history_of
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.accounting.formats.rows import Rows
from tests.support.gateways.desk import wide_site
from tests.support.gateways.sites import believed
from tests.support.stated import METER, QUARTER_MS, Site
from tests.system.demo_site import GatewayProcess, until

COMMAND = [sys.executable, "-m", "gateway.cli", "statement"]


def signed(loaded: Config) -> History:
    store = Database(loaded.database, read_only=True)
    try:
        return history_of(store)
    finally:
        store.close()


@pytest.mark.parametrize("station", ["rows", "stated"])
def test_what_was_killed_goes_on(tmp_path: Path, station: str) -> None:
    lines = wide_site(tmp_path / "site", {"bus-1": [METER]})  # nobody answers there
    site = Site(tmp_path / "site", lines)
    site.publish()
    site.polls(90 * 3)
    site.stop()
    loaded = site.loaded
    period = "/".join(civil_text(time_ms, 480) for time_ms in (site.from_ms, site.from_ms + QUARTER_MS))
    words = [*COMMAND, str(loaded.path), "--period", period, "--json"]
    believed(tmp_path / "ledger", loaded)
    gateway = GatewayProcess(loaded)
    gateway.start()
    try:
        flag = tmp_path / "held"
        env = {**os.environ, "METERSEAL_HOLD": f"{station}:1:{flag}"}
        with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
            until(f"the statement to reach {station}", lambda: flag.exists() or killed.poll() is not None)
            killed.send_signal(signal.SIGKILL)
        (rows,) = (loaded.data / "statements").iterdir()
        secret = Rows.parse(rows.read_bytes()).secret
        assert len(signed(loaded).periods) == (station == "stated")
        for _ in range(2):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["statements"][0]["signed"] is False
        assert Rows.parse(rows.read_bytes()).secret == secret
        (statement,) = signed(loaded).periods
        assert statement.fields["rows"][1] == Rows.parse(rows.read_bytes()).root
    finally:
        assert gateway.stop() == 0
