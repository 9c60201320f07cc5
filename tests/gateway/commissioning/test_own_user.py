"""Commands of somebody who may not look into the gateway's folders: they say so, and nothing is guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commissioning import site_init
from gateway.errors import ConfigError
from gateway.messages.message import Message
from tests.support.samples import START_S

NO_POWERS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
"""Root without capabilities is refused like anybody else."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    site_init.init(folder, site_init.NewSite(gateway="test-gateway", now_s=START_S))
    (folder / "data").mkdir()
    (folder / "password").write_text("basement without light")
    for name in ("keys", "data"):
        (folder / name).chmod(0)
    yield folder / "gateway.toml"
    for name in ("keys", "data"):
        (folder / name).chmod(0o700)


@pytest.mark.parametrize(
    "words", ["check", "keys", "password ines --password-file password", "reload", "doctor", "status"]
)
def test_whoever_may_not_look_is_told_so(site: Path, words: str) -> None:
    command, *options = words.split()
    line = [*NO_POWERS, sys.executable, "-m", "gateway.cli", command, site.name, *options]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        line, cwd=site.parent, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if command == "doctor" else 2), done.stderr
    assert "Permission denied" in done.stdout + done.stderr
    assert f"fix: {Message('control-not-allowed', uid=0).way_out}" in done.stdout + done.stderr


def test_an_id_that_cannot_be_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        site_init.init(tmp_path / "site", site_init.NewSite(gateway="a b", now_s=START_S))
    assert site_init.init(tmp_path / "site", site_init.NewSite(gateway="a-b", now_s=START_S))
