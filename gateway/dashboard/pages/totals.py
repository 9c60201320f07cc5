"""Facts of the totals on top of Site: power now, energy of today, yesterday and the month, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from fractions import Fraction
from typing import Final, NamedTuple

from gateway.recording.live_state import MeterNow
from gateway.totals.flows import Flow, Lack
from gateway.totals.periods import PERIODS, civil_zone
from gateway.totals.power import Newest, power_flows
from gateway.totals.reading import Energies
from gateway.totals.sources import COUNTS, FLOWS, Source
from ledger_client.messages import Sentence

NOW: Final = "now"
_ROLE_OF: Final = {flow: role for role, flows in COUNTS.items() for flow in flows}


@dataclass(frozen=True, slots=True)
class Column:
    """Energies of one source: the readings of meters, or the account of a plan (``plan``, else "")."""

    plan: str
    version: int
    zone: tzinfo
    periods: Mapping[str, Mapping[str, Flow]]


class Lacking(NamedTuple):
    """What a flow lacks now or in a period (``when``), of how many parts, and by which clocks times are shown."""

    when: str
    name: str
    flow: Flow
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class SiteTotals:
    """``power`` by flow; ``energies``: as they were read, ``pending`` while they are read for the first time."""

    power: Mapping[str, Flow]
    columns: tuple[Column, ...]
    at_ms: int
    pending: bool
    problem: Sentence | None
    zone: tzinfo

    @property
    def names(self) -> list[str]:
        """The flows that there are, in their order."""
        known = {name for column in self.columns for flows in column.periods.values() for name in flows}
        return [name for name in FLOWS if name in self.power or name in known]

    @property
    def nodes(self) -> Mapping[str, Sequence[str]]:
        """The nodes of the flow picture, each with its flows: a role, of which there is a power."""
        found: dict[str, list[str]] = {}
        for name in self.power:
            found.setdefault(_ROLE_OF[name], []).append(name)
        return found

    @property
    def state(self) -> str:
        """What of the totals a page that is open cannot bring up to date by itself."""
        return state_of(self.power)

    @property
    def lacking(self) -> list[Lacking]:
        """What is missing, now first; what is missing in several periods for one reason stands with the first."""
        found = [Lacking(NOW, name, flow, self.zone) for name, flow in self.power.items() if flow.missing]
        for column in self.columns:
            named: set[tuple[str, tuple[Lack, ...]]] = set()
            for period in PERIODS:
                for name, flow in column.periods.get(period, {}).items():
                    if flow.missing and (name, flow.missing) not in named:
                        named.add((name, flow.missing))
                        found.append(Lacking(period, name, flow, column.zone))
        return found


def site_totals(
    sources: Mapping[str, Source],
    seen: Sequence[MeterNow],
    every_poll: int,
    now_ms: int,
    energies: Energies,
    zone: tzinfo,
) -> SiteTotals | None:
    """The totals; None: no meter and no node is in them."""
    power = power_of(sources, seen, every_poll, now_ms)
    columns = tuple(Column(one.plan, one.version, civil_zone(one.civil_min), one.flows) for one in energies.accounts)
    if not columns and energies.readings:
        columns = (Column("", 0, zone, energies.readings),)
    if not power and not energies.accounts:
        return None
    return SiteTotals(power, columns, energies.at_ms, not energies.at_ms, energies.problem, zone)


def power_of(sources: Mapping[str, Source], seen: Sequence[MeterNow], every_poll: int, now_ms: int) -> dict[str, Flow]:
    """The power of each flow now."""
    newest = {now.name: Newest.of(now) for now in seen if now.name in sources}
    return power_flows(sources, newest, every_poll, now_ms)


def kilo(amount: Fraction | None) -> float | None:
    """W in kW."""
    return None if amount is None else float(amount / 1000)


def mega(amount: Fraction | None) -> float | None:
    """Wh in MWh."""
    return None if amount is None else float(amount / 1_000_000)


def state_of(power: Mapping[str, Flow]) -> str:
    """Which flows there are, which of them flow, and what each lacks: a page on which that changes is drawn anew."""
    return ";".join(
        f"{name}{'' if flow.amount is None else '+' if flow.amount else '0'}"
        + "".join(f",{lack.of}:{lack.why}" for lack in flow.missing)
        + "".join(f",~{name}" for name in flow.uncertain)
        for name, flow in power.items()
    )
