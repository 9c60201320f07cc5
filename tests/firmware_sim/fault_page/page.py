"""docs/faults.md as a text; ``python -m tests.firmware_sim.fault_page.page`` runs all cases, and writes it anew."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from tests.firmware_sim.fault_page.cases import CASES, DLT645, LOGGER, RTU, SOUND, Case
from tests.firmware_sim.fault_page.recorded import LEAST_SHARE, Recorded
from tests.firmware_sim.fault_page.run import Row, rows

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"
_HEAD = """# Faults: what clients see

Of each kind of fault of the simulator (docs/simulator.md, "fault"): what a plain client sees, and what Meterseal's
gateway records. This page is made by a run, with a meter for each kind and each of the two.
`python -m tests.firmware_sim.fault_page.page` makes it anew, and a test fails where it differs from what a run finds.

- **The client** is pymodbus 3.16 as its documentation has it, without retries: it asks, looks at `isError()`, and takes
  the registers for numbers. *True* is what the meter would have shown without the fault; *untrue* is any other number
  that the client takes for the answer, and nothing tells it.
- **The gateway** reads once a second. *Untrue* is recorded as the meter sent it; *of an earlier answer* was true then.
  The flags (docs/readings.md) are those of some or all of these values, and a
  value without one looks good. *Missed*: three polls in ten or more have no value, and the signed coverage
  record counts them with this reason (docs/formats.md). What follows a `timeout` is not listed: `backoff`,
  `no-shape` and `line-down`. Then events and alarms (docs/alarms.md) of the meter.
- A fault is on for fourteen polls. Alarms that wait as long are not here: `stale`, `line-down`, `counter-back` and
  `value-bad` (docs/alarms.md).

Where nothing else is said it is an Eastron SDM630 on Modbus TCP with its voltages, active power and exported energy,
and a second meter without a fault is on the gateway's line. Profiles on Modbus TCP are those of the catalog with
`direct = true`, `answer_life_ms = 200` and `frozen_after_ms = 3000`: FROZEN comes after seconds, not five minutes.

| kind | a plain client sees | the gateway records |
|---|---|---|
"""
_DEVICES = {
    RTU: "Modbus RTU",
    DLT645: "DL/T 645",
    LOGGER: "logger",
}


def page(found: Iterable[Row]) -> str:
    """The whole page."""
    return _HEAD + "".join(
        f"| {_name(row.kind)} | {_client(row.client)} | {_gateway(row.gateway)} |\n" for row in found
    )


def _name(kind: str) -> str:
    case = CASES[kind]
    if kind == SOUND:
        return "*none*"
    more = [_DEVICES.get(case.type, ""), "GMP252" if case.profile == "vaisala-gmp252" else "", *_how(case)]
    shown = ", ".join(filter(None, more))
    return f"`{kind}`" + (f" ({shown})" if shown else "")


def _how(case: Case) -> list[str]:
    keys = [
        f"`{key} = {value:g}`" if isinstance(value, float | int) else f"`{key}`" for key, value in case.keys.items()
    ]
    keys += [f"read every {case.every_s} s"] if case.every_s > 1 else []
    return [*keys, *(f"behind one `{kind}`" for kind in case.behind)]


def _client(found: Mapping[str, Counter[str]] | None) -> str:
    return "cannot ask it" if found is None else _by_points(found, least=0.2)


def _by_points(
    found: Mapping[str, Counter[str]], flags: Mapping[str, Set[str]] | None = None, least: float = LEAST_SHARE
) -> str:
    """What is the same of all points is said once."""
    flags = flags or {}
    shown = {}
    for word, outcomes in sorted(found.items(), reverse=True):
        often = sorted(each for each, number in outcomes.items() if number >= least * outcomes.total())
        shown[word] = " ".join([" or ".join(often), *(f"`{flag}`" for flag in sorted(flags.get(word, ())))])
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return "; ".join(f"{word} {text}" for word, text in shown.items())


def _gateway(found: Recorded) -> str:
    parts = [_by_points(found.values, found.flags)] if found.values else []
    parts += [
        f"{word} {_codes(codes)}" for word, codes in (("missed:", found.missed), ("event", found.events)) if codes
    ]
    parts += [f"alarm {_codes(found.alarms)}"] if found.alarms else []
    return "; ".join(parts) or "nothing"


def _codes(codes: Set[str]) -> str:
    return ", ".join(f"`{code}`" for code in sorted(codes))


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(page(rows(Path(name))))


if __name__ == "__main__":
    main()
