"""Totals as plain data, for `--json` and the API. Pure.

Power in W and energy in Wh, as numbers; null: not known. ``complete`` false: the amount is that of the parts that are
known, and ``missing`` names the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gateway.local_calendar import Stretch
from gateway.totals.flows import Flow
from gateway.totals.reading import Energies

if TYPE_CHECKING:
    from gateway.totals.accounts import Account
    from gateway.totals.at_rest import Totals

_PLACES = 3


def totals_json(gateway: str, zone: str, totals: Totals) -> dict[str, Any]:
    """All totals. ``source`` is ``accounts`` where a plan is published, else ``readings``."""
    return {
        "gateway": gateway,
        "time": totals.now_ms,
        "power": {name: _flow(flow, "power_w") for name, flow in totals.power.items()},
        "energy": _energy(zone, totals.energies),
    }


def _energy(zone: str, energies: Energies) -> dict[str, Any]:
    found: dict[str, Any] = {"as_of": energies.at_ms or None, "source": "accounts" if energies.accounts else "readings"}
    if energies.accounts:
        return found | {"plans": [_account(one) for one in energies.accounts]}
    return found | {"timezone": zone, "periods": _periods(energies.periods, energies.readings)}


def _account(one: Account) -> dict[str, Any]:
    return {
        "plan": one.plan,
        "version": one.version,
        "civil_minutes": one.civil_min,
        "periods": _periods(one.periods, one.flows),
    }


def _periods(spans: Mapping[str, Stretch], flows: Mapping[str, Mapping[str, Flow]]) -> dict[str, Any]:
    return {
        name: {
            "from": from_ms,
            "to": to_ms,
            "flows": {key: _flow(flow, "energy_wh") for key, flow in flows.get(name, {}).items()},
        }
        for name, (from_ms, to_ms) in spans.items()
    }


def _flow(flow: Flow, key: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: number(flow.amount),
        "complete": flow.complete,
        "computed": flow.computed,
        "of": flow.of,
        "known": flow.known,
        "uncertain": list(flow.uncertain),
        "missing": [{"name": one.of, "why": one.why, "since": one.since_ms} for one in flow.missing],
    }
    if flow.statuses:
        found["statuses"] = {status: number(amount) for status, amount in flow.statuses}
    return found


def number(amount: Fraction | None) -> int | float | None:
    """An amount rounded to thousandths, whole where it is."""
    if amount is None:
        return None
    rounded = round(amount, _PLACES)
    return int(rounded) if rounded.denominator == 1 else float(rounded)
