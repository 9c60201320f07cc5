"""What is served is what is described: schemathesis asks a running gateway by its openapi.json, with all of its checks.

A longer run by hand: the same command with ``--max-examples 200`` and another seed.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gateway.api.table import ROUTES
from gateway.storage.database import Database
from tests.gateway.api.asked import METER, V1, Asked

HERE = Path(__file__).parent
TOOL = os.environ.get("METERSEAL_SCHEMATHESIS", str(HERE.parents[2] / ".venv-schemathesis" / "bin" / "schemathesis"))
RATE = "19/s"
"""A token has 20 requests a second: what comes faster is 429 and tests nothing else."""


METHODS = '[phases.coverage]\nunexpected-methods = ["DELETE", "TRACE"]\n'
"""Those that each path is asked with besides GET: of all of them there are tests in test_api.py."""


def record(site: Asked) -> str:
    """A record that has a proof, for the hooks."""
    row = Database(site.config.database, read_only=True).records.newest_anchored(METER)
    assert row is not None
    found = {"gateway": site.config.gateway_id, "meter": row.meter, "epoch": row.epoch.hex(), "seq": row.seq}
    return json.dumps(found)


@pytest.mark.parametrize(("scope", "phases"), [("status", "fuzzing"), ("proofs", "coverage,fuzzing")])
def test_schemathesis_finds_no_fault_and_nothing_undocumented(
    site: Asked, scope: str, phases: str, tmp_path: Path
) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(METHODS)
    url = f"http://127.0.0.1:{site.port}{V1}/openapi.json"
    command = [TOOL, "--config-file", str(settings), "--no-color", "run", url, "--checks", "all", "--rate-limit", RATE]
    command += ["-H", f"Authorization: Bearer {site.tokens[scope]}", "--phases", phases, "--max-examples", "3"]
    command += ["--seed", "1", "--generation-database", "none"]
    hooks = {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "METERSEAL_RECORD": record(site)}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | hooks, cwd=tmp_path, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    paths = [route.path for route in ROUTES if route.scope is not None]
    assert f"{len(paths)} selected" in done.stdout, done.stdout
