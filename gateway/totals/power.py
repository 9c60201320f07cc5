"""Power of a site's meters now, from their newest readings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.recording.live_state import MeterNow
from gateway.totals.flows import Flow, Lack, Part, flows
from gateway.totals.sources import Power, Source
from ledger_client.formats.senml import Reading

PERIODS: Final = 3
"""A newest reading that is older than so many periods of its meter is not the power now."""
ASLEEP, SILENT, NEVER = "asleep", "silent", "no-reading"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest reading of a meter, and since when and why it gives none: None and "" where it does."""

    reading: Reading | None
    silent_since_ms: int | None = None
    reason: str = ""

    @classmethod
    def of(cls, now: MeterNow) -> Newest:
        """That of the live state."""
        return cls(now.known, now.silent_since_ms, now.reason or "")

    def silence(self, every_ms: int, now_ms: int) -> str:
        """Why it is not of now: ``asleep``, ``silent``, ``no-reading`` (it was never read); "": it is of now."""
        if self.reading is not None and now_ms - self.reading.time_ms <= PERIODS * every_ms:
            return ""
        if self.reason == "asleep":
            return ASLEEP
        return SILENT if self.reading is not None else NEVER

    @property
    def since_ms(self) -> int | None:
        """Since when it gives none."""
        if self.silent_since_ms is not None:
            return self.silent_since_ms
        return self.reading.time_ms if self.reading is not None else None


NOTHING: Final = Newest(None)


def power(source: Source, newest: Newest, every_ms: int, now_ms: int) -> tuple[Power, Lack | None]:
    """The power of a meter now, and why it is not known. ``every_ms``: between two of its readings."""
    why = newest.silence(every_ms, now_ms)
    if why or newest.reading is None:
        return Power(), Lack(source.meter, why, newest.since_ms)
    found = source.power(newest.reading.values)
    return found, Lack(source.meter, found.lack) if found.lack else None


def silences(
    sources: Mapping[str, Source], newest: Mapping[str, Newest], every_poll: int, now_ms: int
) -> dict[str, str]:
    """The meters that give no reading now, and why. Arguments as of ``power_flows``."""
    found = {
        name: newest.get(name, NOTHING).silence(one.every_ms * every_poll, now_ms) for name, one in sources.items()
    }
    return {name: why for name, why in found.items() if why}


def power_flows(
    sources: Mapping[str, Source], newest: Mapping[str, Newest], every_poll: int, now_ms: int
) -> dict[str, Flow]:
    """The power of each flow of the site now, in W.

    Args:
        sources: the meters of the totals, by name.
        newest: the newest reading of each.
        every_poll: every so many-th poll is recorded.
        now_ms: the time now, among record times.
    """
    found = {
        name: power(one, newest.get(name, NOTHING), one.every_ms * every_poll, now_ms) for name, one in sources.items()
    }

    def part(source: Source, flow: str) -> Part:
        known, lack = found[source.meter]
        amount = known.of(source.flows[flow])
        if amount is None and lack is None:
            lack = Lack(source.meter, "no-power")
        return Part(source.meter, amount, lack, known.is_uncertain)

    return flows(sources.values(), part)
