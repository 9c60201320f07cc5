"""The command without its libraries, as `pip install meterseal` leaves it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["psycopg", "nats"])
def test_a_missing_library_is_named_with_what_installs_it(library: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = ['meterseal-control', 'run', 'CONTROL.toml']; "
        "from control_room.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert library in done.stderr
    assert "meterseal[control]" in done.stderr
    assert "Traceback" not in done.stderr
