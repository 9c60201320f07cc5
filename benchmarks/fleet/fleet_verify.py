"""What verifying a record costs, against its signature alone, in CPU seconds of this process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benchmarks.fleet.fleet_records import KINDS, records
from ledger_client.formats.cose import sig_structure
from ledger_client.formats.cose_key import PrivateKey, PublicKey
from ledger_client.formats.record import parse_record


def verify_figures(count: int, runs: int, begin_ms: int) -> dict[str, object]:
    """For each kind of number the medians over ``runs`` pairs, each measured right after one another: microseconds of
    a bare verification, of parsing and verifying, and the ratio of the two."""
    figures: dict[str, object] = {}
    for kind in KINDS:
        key = PrivateKey.generate()
        data = list(records(count, 20, begin_ms, 1000, kind, 1, key))
        pairs = [(bare_us(key.public, data), whole_us(key.public, data)) for _ in range(runs)]
        name = "" if kind == "float32" else f"_{kind}"
        figures[f"record{name}_bytes"] = round(statistics.mean(map(len, data)))
        figures[f"bare{name}_us"] = statistics.median(bare for bare, _ in pairs)
        figures[f"verify{name}_us"] = statistics.median(whole for _, whole in pairs)
        figures[f"verify{name}_ratio"] = statistics.median(bare / whole for bare, whole in pairs)
    return figures


def bare_us(key: PublicKey, data: Sequence[bytes]) -> float:
    """Microseconds that the signature of one of these records takes, by the library itself, all else done before."""
    read = [parse_record(each).sign1 for each in data]
    jobs = [(one.signature, sig_structure(one.protected_bytes, one.payload or b"")) for one in read]
    library = Ed25519PublicKey.from_public_bytes(key.cose_key[-32:])

    def work() -> None:
        for signature, message in jobs:
            library.verify(signature, message)

    return us_of(len(jobs), work)


def whole_us(key: PublicKey, data: Sequence[bytes]) -> float:
    """Microseconds that parsing one of these records and verifying its signature takes."""

    def work() -> None:
        for each in data:
            parse_record(each).sign1.verify(key)

    return us_of(len(data), work)


def us_of(count: int, work: Callable[[], None]) -> float:
    """Microseconds of CPU that each of ``count`` pieces of a work took."""
    gc.collect()
    started = time.process_time()
    work()
    return (time.process_time() - started) / count * 1e6
