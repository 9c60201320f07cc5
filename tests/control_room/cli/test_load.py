"""`meterseal-control load` judges by a trust file that is in force, or not at all."""

from __future__ import annotations

from pathlib import Path

from control_room.settings import new_settings
from tests.control_room.cli.test_init import control
from tests.support.evidence import trust_text


def test_nothing_is_loaded_by_a_trust_file_that_has_expired(tmp_path: Path) -> None:
    path, trust = tmp_path / "CONTROL.toml", tmp_path / "trust.toml"
    trust.write_text(trust_text(policy="expires = 2020-01-01T00:00:00Z\n"))
    text = new_settings(path, "postgresql://nobody@127.0.0.1:1/none", None, "nats://127.0.0.1:1", trust, "main")[1]
    path.write_text(text)
    code, printed = control("load", path, tmp_path)
    assert code == 2
    assert "meterseal-ledger trust from" in printed
