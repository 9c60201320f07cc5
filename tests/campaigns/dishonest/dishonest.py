"""Histories that were made to deceive, with real keys, against running ledgers: who notices, and in which words.

Each case begins with what the real journal has recorded of three meters in a quarter of an hour and changes one thing,
as somebody may who has every key of the gateway: the owner, who is paid by the kilowatt-hour. Signatures, hashes, roots
and ranges fit together again. It is given to a ledger over HTTP, then to ``verify`` or ``audit``; what people supply,
and statements that believe it, to ``recompute``. ``by_ledger``, ``by_verify``, ``by_audit`` and ``by_recompute`` name
the cases that each caught in the words that the case expects, ``cases`` says which; ``missed`` are those that were let
through, or caught for another reason.

``controls`` are honest histories, made by the gateway's own parts, with everything that may befall one: their
exports must be found sound, a restored and a repaired database's with ``--allow-resume``. ``unsound`` names those that
are not.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.campaigns.dishonest import (
    dishonest_balance,
    dishonest_changes,
    dishonest_clock,
    dishonest_contents,
    dishonest_due,
    dishonest_enrolment,
    dishonest_entries,
    dishonest_files,
    dishonest_keys,
    dishonest_ledger,
    dishonest_log,
    dishonest_plan,
    dishonest_schedule,
    dishonest_slots,
    dishonest_times,
    dishonest_verify,
)
from tests.campaigns.dishonest.dishonest_stage import LEDGERS, Case, Objection, Stage, stage
from tests.campaigns.honest.honest_controls import CONTROLS, Control, Place
from tests.campaigns.supplied import dishonest_supplied

SMALLEST: tuple[dict[str, Any]] = ({"seed": 7},)
BY = "ledger", "verify", "audit", "gateway", "recompute", "neutrality"
PARTS = (
    dishonest_enrolment,
    dishonest_log,
    dishonest_ledger,
    dishonest_times,
    dishonest_due,
    dishonest_slots,
    dishonest_changes,
    dishonest_contents,
    dishonest_schedule,
    dishonest_clock,
    dishonest_files,
    dishonest_keys,
    dishonest_verify,
    dishonest_balance,
    dishonest_entries,
    dishonest_plan,
    dishonest_supplied,
)
CASES: Mapping[str, Case] = {name: case for part in PARTS for name, case in part.CASES.items()}


def run(seed: int = 20261127, only: str = "") -> dict[str, object]:
    """``seed`` chooses which batch, meter and record each case strikes; ``only``: the cases and controls whose names
    match this regular expression."""
    began, now_s = time.monotonic(), time.time()
    with tempfile.TemporaryDirectory() as name, stage(Path(name), seed, now_s) as here:
        cases = {name: judged(case, here.of(name)) for name, case in CASES.items() if re.search(only, name)}
        (place := Place(Path(name) / "controls", here.ledgers[LEDGERS[0]], now_s, seed)).folder.mkdir()
        controls = {name: audited(work, place) for name, work in CONTROLS.items() if re.search(only, name)}
    missed = sorted(name for name, facts in cases.items() if not facts["caught"])
    unsound = sorted(name for name, facts in controls.items() if facts["exit"] != 0 or facts["findings"])
    for name in missed:
        print(f"missed: {name}: {cases[name]}", file=sys.stderr)
    for name in unsound:
        print(f"unsound: {name}: {controls[name]}", file=sys.stderr)
    found = {by: sorted(n for n, f in cases.items() if f["caught"] == by) for by in BY}
    return {
        "cases": cases,
        **{f"by_{by}": names for by, names in found.items()},
        "missed": missed,
        "controls": controls,
        "unsound": unsound,
        "seed": seed,
        "seconds": time.monotonic() - began,
    }


def audited(work: Control, place: Place) -> dict[str, Any]:
    """The exit code of an honest history's audit, how much it went through, and what was found."""
    try:
        facts = work(place)
    except Exception as error:  # what cannot be made is not sound, and the others go on
        return {"exit": None, "findings": [f"{type(error).__name__}: {error}"]}
    findings = [f"{f['step']}: {f['record'] or f['batch']}: {f['detail']}" for f in facts["findings"]]
    return {
        "exit": facts["exit"],
        "batches": len(facts["batches"]),
        "records": facts["records"],
        "findings": findings[:5],
        "findings_total": facts["findings_total"],
    }


def judged(case: Case, here: Stage) -> dict[str, Any]:
    """By whom it was caught (None: by nobody, or for another reason), where, in which words, and what else was said."""
    try:
        objections = case.story(here)
    except Exception as error:  # what cannot be made is not caught, and the other cases go on
        objections = [Objection("nobody", "no history", f"{type(error).__name__}: {error}")]
    right = next((one for one in objections if fits(case, one)), None)
    others = [f"{one.by}, {one.where}: {one.text}" for one in objections if one is not right]
    if right is None:
        return {"caught": None, "expected": f"{case.by}, {case.where}: {case.says}", "said": others[:5]}
    return {"caught": right.by, "where": right.where, "sentence": right.text, "besides": others[:5]}


def fits(case: Case, one: Objection) -> bool:
    """Whether this is what the case must be caught by."""
    return one.by == case.by and bool(re.match(case.where, one.where) and re.search(case.says, one.text))
