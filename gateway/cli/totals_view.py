"""Totals as text, for `meterseal totals`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

from rich.console import Console
from rich.table import Table

from gateway.dashboard.shell.formats import compared
from gateway.local_calendar import local
from gateway.totals.at_rest import Totals
from gateway.totals.flows import Flow, Lack
from gateway.totals.periods import civil_zone
from gateway.totals.sources import FLOWS

WHY: Final = {
    "silent": "silent", "asleep": "asleep", "no-reading": "no reading", "no-power": "records no power",
    "no-sign": "its profile does not say which way power is (positive)", "no-value": "gave no power",
    "bad-quality": "power is bad", "no-counter": "records no counter of this direction",
    "not-recorded": "not all of its tariffs are recorded", "reset": "counter was reset",
    "rollover": "counter rolled over", "exchange": "meter was exchanged", "fell": "counter fell",
    "no-energy": "counter is in no unit of energy",
    "begins-late": "no reading near the beginning", "ends-early": "no reading near the end",
    "no-row": "no account", "spans": "an interval begins earlier", "gone": "its rows are not here",
}  # fmt: skip


def print_totals(out: Console, totals: Totals, zone: tzinfo) -> None:
    """The totals for people: power in kW, energy in MWh."""
    if not totals.power and not totals.energies.accounts:
        out.print("no meter has the role generation, consumption, grid or storage (gateway.toml, role)")
        return
    out.print(_table("power now", {"kW": totals.power}))
    for line in _lacks("now", totals.power, zone):
        out.print(line)
    if not totals.energies.accounts:
        out.print("\nenergy by readings, not accounts", f"(days of {zone})")
        _print_energy(out, totals.energies.readings, zone)
    for one in totals.energies.accounts:
        out.print(f"\nenergy by plan {one.plan}, version {one.version}")
        _print_energy(out, one.flows, civil_zone(one.civil_min))


def _print_energy(out: Console, periods: Mapping[str, Mapping[str, Flow]], zone: tzinfo) -> None:
    out.print(_table("", {f"{name} MWh": flows for name, flows in periods.items()}))
    for name, flows in periods.items():
        for line in _lacks(name, flows, zone):
            out.print(line)


def _table(title: str, columns: Mapping[str, Mapping[str, Flow]]) -> Table:
    table = Table(title, *columns, box=None)
    for flow in (flow for flow in FLOWS if any(flow in flows for flows in columns.values())):
        table.add_row(flow, *(_amount(flows.get(flow), name) for name, flows in columns.items()))
    return table


def _amount(flow: Flow | None, column: str) -> str:
    if flow is None or flow.amount is None:
        return "–"
    text = compared(float(flow.amount / (1_000 if column == "kW" else 1_000_000)))
    return f"{text}{'' if flow.complete else ' incomplete'}{' computed' if flow.computed else ''}"


def _lacks(period: str, flows: Mapping[str, Flow], zone: tzinfo) -> Iterator[str]:
    for name, flow in flows.items():
        if flow.missing:
            missing = ", ".join(_lack(lack, zone) for lack in flow.missing)
            yield f"  {period}, {name}: {flow.known} of {flow.of}; {missing}"


def _lack(lack: Lack, zone: tzinfo) -> str:
    since = f" since {local(lack.since_ms, zone):%Y-%m-%d %H:%M:%S}" if lack.since_ms is not None else ""
    return f"{lack.of}: {WHY.get(lack.why, lack.why)}{since}"
