"""Records as gateways send them: 30 values a reading, signed, of many meters, by seeded chance."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal

from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Claims, Number, Reading, ReadingWriter, Value, record_hash

VALUES = 30
POINTS = tuple(
    (f"{what}_{phase}", unit)
    for what, unit in (
        ("voltage", "V"), ("current", "A"), ("active_power", "W"), ("reactive_power", "var"), ("apparent_power", "VA"),
        ("power_factor", None), ("energy_import", "Wh"), ("energy_export", "Wh"), ("thd_voltage", "%"),
        ("thd_current", "%"),
    )
    for phase in ("l1", "l2", "l3")
)  # fmt: skip
"""Names and units of the values."""

Kind = Callable[[random.Random], Number]


def _single(chance: random.Random) -> float:
    value: float = struct.unpack(">f", struct.pack(">f", chance.uniform(0, 1000)))[0]
    return value


KINDS: dict[str, Kind] = {
    "float32": _single,
    "integer": lambda chance: chance.randrange(10**6),
    "decimal": lambda chance: Decimal(chance.randrange(10**6)).scaleb(-2),
}
"""How a meter's registers hold its numbers."""


class Meter:
    """One meter of one gateway: its next readings, each signed and pointing at the one before."""

    def __init__(self, gateway: str, name: str, key: PrivateKey, epoch: bytes, number: Kind) -> None:
        self.gateway, self.name, self.epoch = gateway, name, epoch
        self._writer, self._number = ReadingWriter(gateway, name, key), number
        self._seq, self._prev = 0, bytes(32)

    def record(self, time_ms: int, chance: random.Random) -> bytes:
        """The reading of this moment, as its gateway signs it."""
        values = tuple(Value(name, self._number(chance), unit) for name, unit in POINTS)
        claims = Claims(
            self.gateway, self.name, time_ms // 1000, time_ms % 10**9, self._seq, self.epoch, self._prev, "S", 12
        )
        data = self._writer.sign(claims, Reading(time_ms, values))
        self._seq, self._prev = self._seq + 1, record_hash(data)
        return data


def records(
    count: int, meters: int, begin_ms: int, period_ms: int, kind: str, seed: int, key: PrivateKey
) -> Iterator[bytes]:
    """``count`` records of the meters of one gateway, in turn, by its key."""
    chance = random.Random(seed)
    made = [Meter("bench", f"meter-{n:03}", key, chance.randbytes(8), KINDS[kind]) for n in range(meters)]
    for n in range(count):
        yield made[n % meters].record(begin_ms + n // meters * period_ms, chance)
