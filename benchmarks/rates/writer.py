"""Encode, sign and hash readings of 30 values, against a bare Ed25519 signature of 300 bytes (target: at most 1.6)."""

from __future__ import annotations

import json
import os
import random
import statistics
import struct
import time
from collections.abc import Callable
from decimal import Decimal

from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Claims, ReadingWriter, record_hash
from ledger_client.formats.senml import Number, Reading, Value

VALUES = 30
SMALLEST = ({"records": 20, "runs": 1},)
UNITS = ("V", "A", "kW")


def _single(rng: random.Random) -> float:
    value: float = struct.unpack(">f", struct.pack(">f", rng.uniform(0, 1000)))[0]
    return value


NUMBERS: dict[str, Callable[[random.Random], Number]] = {
    "float32": _single,
    "integer": lambda rng: rng.randrange(10**6),
    "decimal": lambda rng: Decimal(rng.randrange(10**6)).scaleb(-2),
}


def run(records: int = 2_000, runs: int = 7) -> dict[str, object]:
    """For each kind of number the median over ``runs`` of the ratio, and of the microseconds a record takes."""
    key, rng = PrivateKey.generate(), random.Random(1)
    figures: dict[str, object] = {"values_per_record": VALUES, "records": records, "runs": runs}
    for kind, number in NUMBERS.items():
        readings = [
            Reading(1_795_000_000_000 + n, tuple(Value(f"point_{k}", number(rng), UNITS[k % 3]) for k in range(VALUES)))
            for n in range(records)
        ]
        pairs = [(_bare(key, records), _signed(key, readings)) for _ in range(runs)]
        figures[f"{kind}_us"] = statistics.median(signed for _, signed in pairs)
        figures[f"{kind}_ratio"] = statistics.median(signed / bare for bare, signed in pairs)
    return figures


def _bare(key: PrivateKey, records: int) -> float:
    """Microseconds for one signature of 300 bytes."""
    message = os.urandom(300)
    started = time.perf_counter()
    for _ in range(records):
        key.sign(message)
    return (time.perf_counter() - started) / records * 1e6


def _signed(key: PrivateKey, readings: list[Reading]) -> float:
    """Microseconds for one record: encoded, signed and hashed for the next one's prev."""
    writer, epoch, prev = ReadingWriter("gateway-1", "meter-1", key), os.urandom(8), bytes(32)
    started = time.perf_counter()
    for seq, reading in enumerate(readings):
        claims = Claims("gateway-1", "meter-1", 1_795_000_000, seq * 100, seq, epoch, prev, "S", 12)
        prev = record_hash(writer.sign(claims, reading))
    return (time.perf_counter() - started) / len(readings) * 1e6


def main() -> None:
    print(json.dumps(run()))


if __name__ == "__main__":
    main()
