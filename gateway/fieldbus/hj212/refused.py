"""Refused packets and other facts of a listener that `meterseal status` shows. They outlive its socket."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from gateway.fieldbus.hj212.packets import check_value
from gateway.fieldbus.hj212.splitter import KEPT, Damaged, Whole

LAST = 100
STRAYS = {
    "crc": "damaged",
    "length": "damaged",
    "unended": "damaged",
    "form": "damaged",
    "noise": "noise",
    "station": "foreign",
    "password": "foreign",
    "version": "foreign",
}
"""What refused packets count as among the stray frames of a line."""
MOST_NAMES = 200
"""Names of commands, and of factors of a meter, that are kept; what more there is, is only counted."""
_WHOLE_CONNECTIONS = ("network", "connections")
_PASSWORD = re.compile(r"PW\s*=[^;]*")


@dataclass(frozen=True, slots=True)
class Refused:
    """A packet that was not taken: when (Unix ms), from where, why, and its text.

    ``reason``: ``crc``, ``length``, ``noise``, ``unended`` (damaged; the figures are the packet's own and those found),
    ``form`` (not to be understood: ``detail``), ``station``, ``password``, ``version``, or of whole connections
    ``network``, ``connections``.
    """

    time_ms: int
    peer: str
    reason: str
    mn: str | None = None
    begin: str = ""
    length_given: int | None = None
    length_found: int | None = None
    crc_given: str | None = None
    crc_found: str | None = None
    detail: str = ""

    @property
    def who(self) -> tuple[str, str]:
        """Reason and host."""
        return self.reason, self.peer.rpartition(":")[0]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class ListenerFacts:
    """What a listener saw beside the messages that it handed on. Event loop only.

    ``counters``: packets that were taken: ``heard``, ``notices``, and ``commands`` that no meter stands for, by CN in
    ``commands``. ``refused``: those that were not, by reason; ``last`` has the newest. ``unnamed``: by meter, the
    factors that no point stands for.
    """

    def __init__(self) -> None:
        self.counters, self.commands, self.refused = Counter[str](), Counter[str](), Counter[str]()
        self.unnamed: dict[str, set[str]] = {}
        self.last: deque[Refused] = deque(maxlen=LAST)

    def refuse(self, refused: Refused) -> None:
        """Count and keep. A host whose connections are refused is kept once, lest it push out all packets."""
        self.refused[refused.reason] += 1
        if refused.reason not in _WHOLE_CONNECTIONS or refused.who not in [kept.who for kept in self.last]:
            self.last.append(refused)

    def command(self, cn: str) -> None:
        """A known station sent what no meter stands for."""
        self.counters["commands"] += 1
        if cn in self.commands or len(self.commands) < MOST_NAMES:
            self.commands[cn] += 1

    def name_factors(self, meter: str, codes: set[str]) -> None:
        """A message held factors that no point of the meter's profile stands for."""
        known = self.unnamed.setdefault(meter, set())
        known.update(sorted(codes - known)[: MOST_NAMES - len(known)])

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "counters": dict(self.counters),
            "commands": dict(self.commands),
            "unnamed": {meter: sorted(codes) for meter, codes in self.unnamed.items()},
            "refused": dict(self.refused),
        }

    @property
    def strays(self) -> Counter[str]:
        """The refused packets as stray frames of a line, by kind."""
        found = Counter[str]()
        for reason, count in self.refused.items():
            if reason in STRAYS:
                found[STRAYS[reason]] += count
        return found

    @property
    def came(self) -> Counter[str]:
        """Refused packets and connections by reason."""
        return Counter(self.refused)

    def refusals(self) -> list[dict[str, Any]]:
        """The newest refused packets as plain data, the oldest of them first."""
        return [refused.as_json() for refused in self.last]


def damaged(time_ms: int, peer: str, packet: Damaged) -> Refused:
    """A packet that did not arrive as it was sent, or was sent wrong."""
    return Refused(
        time_ms,
        peer,
        packet.reason,
        None,
        _shown(packet.begin),
        packet.length_given,
        packet.length_found,
        packet.crc_given,
        packet.crc_found,
    )


def unwelcome(time_ms: int, peer: str, reason: str, mn: str | None, packet: Whole, detail: str = "") -> Refused:
    """A packet that arrived well and is not taken."""
    length, crc = len(packet.segment), f"{check_value(packet.segment):04X}"
    begin = _shown(b"##%04d%b" % (length, packet.segment[:KEPT]))
    return Refused(time_ms, peer, reason, mn, begin, length, length, crc, crc, detail)


def _shown(begin: bytes) -> str:
    """The beginning of a packet as text, without its password."""
    return _PASSWORD.sub("PW=…", begin.decode("ascii", "backslashreplace"))
