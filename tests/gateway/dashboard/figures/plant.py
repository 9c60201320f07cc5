"""A plant for the pages of the accounting: a register and a stack by quarters of an hour, in a gateway's database.

Eight quarters from ten in the morning of yesterday: measured, split, bridged, unknown | a stack that was missed, one
that stood still, a clock that was not synchronised, and one more. The first four are stated.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gateway.accounting.plans.catalog import profiles
from gateway.cli.app import main
from gateway.clock import KernelClock
from gateway.records import GATEWAY, PollResult, Timestamp
from gateway.runtime.context import GatewayContext
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.epochs import running
from tests.support.stated import EVERY_MS, METER, POINT, QUARTER_MS, Site, plan_fields

Shown = Mapping[tuple[str, str, str], str]
"""Pages by path, view and language."""
STACK, CIVIL_MIN, HOUR_MS = "stack-co2", 480, 3_600_000
_THRESHOLD = 10
_GAUGES = {"c": (150, "mg/l"), "q": (20, "m3/s"), "t": (120, "Cel"), "p": (101_325, "Pa"), "load": (300, "kW")}


def fields(from_ms: int) -> dict[str, Any]:
    """Its plan: a station, a stack, and the emission of what the station takes."""
    plan = plan_fields(from_ms)
    for name, (_, unit) in _GAUGES.items():
        basis = {"basis": "dry"} if name in "cq" else {}
        plan["points"][f"{STACK}/{name}"] = {"kind": "gauge", "unit": unit, "sample": EVERY_MS} | basis
    inputs = {"c": f"{STACK}/c", "Q": f"{STACK}/q", "t": f"{STACK}/t", "p": f"{STACK}/p"}
    plan["profiles"]["EU-MRR"] = dict(profiles()["EU-MRR"])
    factor = {
        "series": "grid", "id": "grid-2023", "kind": "average", "value": "0.5306", "unit": "kg/kWh", "region": "CN",
        "vintage": 2023, "published": "2026-01-01", "document": "announcement", "confirmed": True,
    }  # fmt: skip
    plan["factors"] = [factor]
    plan["nodes"] |= {
        "stack": {
            "role": "emission", "method": "cems", "profile": "EU-MRR", "inputs": inputs,
            "operating": f"{STACK}/load", "threshold": Decimal(_THRESHOLD),
        },
        "grid": {
            "role": "emission", "method": "electricity", "profile": "own-test", "terms": [[1, POINT]],
            "factor": "grid", "factor_rule": "year-of-use",
        },
    }  # fmt: skip
    return plan


class PagesPlant:
    """Its analyser is off while the plant is. ``site``: what is recorded of it; ``from_ms``: its first quarter."""

    def __init__(self, folder: Path, now_ms: int) -> None:
        noon = civil(now_ms - 24 * HOUR_MS, CIVIL_MIN).replace(hour=10, minute=0, second=0, microsecond=0)
        began_ms = int(noon.timestamp()) * 1000 - CIVIL_MIN * 60_000
        self.site = Site(folder, began_ms=began_ms)
        self.from_ms = self.site.from_ms
        self.site.event(GATEWAY, "plan", **fields(self.from_ms))

    @property
    def day(self) -> str:
        """Its day, as an address has it."""
        return f"{civil(self.from_ms, CIVIL_MIN):%Y-%m-%d}"

    def polls(self, count: int, *, register: bool = True, stack: bool = True, load: int = 300) -> None:
        """``count`` polls of all meters: the register gains 1 kWh with each; who does not answer."""
        hands = self.site.hands
        for _ in range(count):
            self.site.register += 1
            due_ms, now = self.site.due_ms, Timestamp.now(hands.clock)
            for meter in hands.journal.rules.periods_ms:
                values = [Value("energy_export", self.site.register % 1_000_000, "kWh", self._quality)]
                if meter == STACK:
                    shown = {name: value for name, (value, _) in _GAUGES.items()} | {"load": load}
                    seen = {name: unit for name, (_, unit) in _GAUGES.items() if load >= _THRESHOLD or name != "c"}
                    values = [Value(name, shown[name], unit, self._quality) for name, unit in seen.items()]
                if (meter == METER and not register) or (meter == STACK and not stack):
                    hands.journal.poll(PollResult(meter, due_ms, None, now, "timeout"))
                else:
                    hands.journal.poll(PollResult(meter, due_ms, Reading(now.time_ms, tuple(values)), now))
            hands.polls += 1
            self.site.machine.passes(EVERY_MS / 1000)
            hands.journal.keep_time()

    @property
    def _quality(self) -> int:
        return 0 if self.site.machine.kernel.synchronised else int(Quality.CLOCK_UNSYNC)

    def falls(self, *, entered: bool) -> None:
        """The register begins anew; with or without an entry of what it showed."""
        final, self.site.register = self.site.register, 0
        time_ms = self.site.machine.wall_ms
        if entered:
            self.site.event(
                GATEWAY, "entry", **{"kind": "register", "of": POINT, "from": time_ms, "to": time_ms, "unit": "kWh",
                "values": {"final": final, "initial": 0}, "reason": "exchange", "user": "op"},
            )  # fmt: skip
        self.polls(1)

    def run(self) -> None:
        """The eight quarters, and a little more."""
        self.polls(6 + 90)
        self.polls(2, register=False)  # 30 s without a register around each end of the second quarter
        self.polls(88)
        self.polls(2, register=False)
        self.polls(42)
        self.falls(entered=True)
        self.polls(45 + 45)
        self.falls(entered=False)
        self.polls(44)
        self.polls(60)
        self.polls(30, stack=False)
        self.polls(90, load=1)
        self.site.machine.kernel = KernelClock(False, 20)
        self.polls(90)
        self.site.machine.kernel = KernelClock(True, 20)
        self.polls(91)
        self.site.stop()

    def with_pages(self, work: Callable[[GatewayContext], None]) -> None:
        """State the first four quarters in a running gateway, and do something there, in a thread."""

        async def inside() -> None:
            async with running(self.site.loaded) as found:
                await asyncio.to_thread(self._state)
                await asyncio.to_thread(work, found.site)

        asyncio.run(inside())

    def _state(self) -> None:
        begin, end = (
            f"{civil(time_ms, 0):%Y-%m-%dT%H:%M:%S+00:00}" for time_ms in (self.from_ms, self.from_ms + 4 * QUARTER_MS)
        )
        done = CliRunner().invoke(
            main, ["statement", str(self.site.loaded.path), "--period", f"{begin}/{end}", "--json"]
        )
        assert done.exit_code == 0, done.output + done.stderr
        self.stated = json.loads(done.stdout)["statements"][0]
