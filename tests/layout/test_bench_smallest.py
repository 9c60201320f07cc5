"""Every case of every benchmark in its smallest form, by the command that a person types; and that none is left out.

What the Debian package's benchmark shows needs root, two builds and a machine that boots. Here only its steps are
tried, on a machine that never booted: that each begins, fails with a reason, and ends no other one.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import MODULES, NAMES, main
from benchmarks.installed import package
from benchmarks.installed.machine import Machine
from benchmarks.installed.package_site import Site
from benchmarks.installed.package_steps import all_steps
from tests.campaigns.ledgers import ledger_faults

WRONG = "wrong_values", "lost", "duplicated", "missing", "broken"
TESTS = Path(__file__).parents[1]
SHOWN_BY = {
    "books": "layout/test_bench_books.py",
    "catalog": "layout/test_bench_catalog.py",
    "cabinet": "layout/test_bench_cabinet.py",
    "claims": "layout/test_bench_claims.py",
    "compare": "system/benches/test_compare.py",
    "crash": "system/benches/test_crash.py",
    "dishonest": "system/test_dishonest.py",
    "fleet-kills": "control_room/test_fleet_kills.py",
    "hj212": "system/benches/test_hj212.py",
    "honest-histories": "gateway/recording/test_clock_histories.py",
    "hsm-away": "system/test_key_in_token.py",
    "ledger": "layout/test_bench_ledger.py",
    "ledger-hostile": "ledger_client/transparency/test_hostile.py",
    "ledger-kills": "ledger_client/transparency/test_killed_policy.py",
    "notify": "system/benches/test_notify.py",
    "outage": "system/benches/test_outage.py",
    "parsers": "layout/test_bench_parsers.py",
    "sim-kills": "firmware_sim/test_sim_kills.py",
    "soak": "system/benches/test_soak.py",
}
"""Benchmarks whose smallest form is a test of its own, which demands more of its figures than that there are some."""


def smallest(name: str) -> Sequence[Mapping[str, object]]:
    """The options of the shortest runs of a benchmark that meet all of its cases: ``SMALLEST`` of its module."""
    module = importlib.import_module(MODULES[name])
    return getattr(module, "SMALLEST", ())


RUNS = [(name, options) for name in NAMES if name not in SHOWN_BY for options in smallest(name)]


@pytest.mark.parametrize(("name", "options"), RUNS, ids=str)
def test_every_case_of_every_benchmark_runs(
    name: str, options: Mapping[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    assert main([name, "--json", *given]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures
    if options.get("guard") != "off":
        assert {what: figures[what] for what in WRONG if figures.get(what)} == {}


@pytest.mark.parametrize("name", NAMES)
def test_no_benchmark_is_left_out(name: str) -> None:
    runs = smallest(name)
    if name in SHOWN_BY:
        assert len(runs) == 1
        text = (TESTS / SHOWN_BY[name]).read_text()
        assert re.search(r"run\(\*\*(\w+\.)?SMALLEST\[0\]", text), f"{SHOWN_BY[name]} does not run {name}"
    else:
        assert runs or name == "package", f"{name} has no smallest form"


def test_every_case_of_the_ledgers_faults_has_a_stand() -> None:
    assert [case for case in ledger_faults.CASES if case.driver not in ledger_faults.BUILDERS] == []
    assert {case.driver for case in ledger_faults.CASES} == set(ledger_faults.BUILDERS)


def test_every_step_of_the_package_begins_and_fails_alone_without_a_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(Machine(tmp_path), tmp_path / "pki")
    (deb := tmp_path / "meterseal.deb").touch()
    for step, work in all_steps(site, deb, deb, tmp_path, set()):
        assert package.taken(step, work) == {step: False}
        assert f"{step}: " in capsys.readouterr().err
