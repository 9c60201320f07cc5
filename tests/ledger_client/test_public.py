"""The names for programs of others: few, typed, loaded when they are used, and the example of the documents runs."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ledger_client
from tests.corpus.cases import cases

EXAMPLE = Path(__file__).with_name("public_example.py")  # mypy --strict reads it with all other tests
GUIDE = Path(__file__).parents[2] / "docs/verifier.md"


def test_there_are_few_names_and_no_other() -> None:
    assert len(ledger_client.__all__) <= 10
    assert all(getattr(ledger_client, name).__doc__ for name in ledger_client.__all__)
    assert set(ledger_client.__all__) <= set(dir(ledger_client))
    with pytest.raises(AttributeError):
        getattr(ledger_client, "nothing")  # noqa: B009 (a type checker refuses the plain form)


def test_importing_it_loads_nothing_and_a_name_no_more_than_verifying_takes() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport ledger_client\nprint(len(set(sys.modules) - before))\n"
        "ledger_client.verify\nprint(*sorted({'asyncio', 'requests', 'socket', 'sqlite3', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n\n"


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("good-reading", None),
        ("path-hash", "step 3"),
        ("coverage-of-a-moment", "step 2"),
        ("expires-now", "trust"),
    ],
)
def test_the_example_of_the_documents_runs(
    name: str, ends: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EXAMPLE.read_text() in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (case,) = (case for case in cases() if case.name == name)
    shutil.copy(case.file, tmp_path / "reading.mseal")
    shutil.copy(case.trust, tmp_path / "trust.toml")
    monkeypatch.chdir(tmp_path)
    if ends is None:
        runpy.run_path(str(EXAMPLE))
        assert capsys.readouterr().out.splitlines()[1] == "voltage_l1 230.5 V 0"
    else:
        with pytest.raises(SystemExit, match=ends):
            runpy.run_path(str(EXAMPLE))
