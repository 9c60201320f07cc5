"""Proofs a second, each parsed and verified whole, beside what the bare key can do.

A proof has three signatures (record, statement, receipt): a third of the rate at which the same library verifies bare
Ed25519 signatures is what no verifier of it can pass. ``ratio`` is the share of that which is reached with the quick
parser of readings, as `verify` and the control room have it (target: at least 0.6), ``ratio_strict`` with the strict
one alone (target: at least 0.40). Every proof is of another record, with other values; what is kept from one to the
next is the trust file. The time is the process's own, so that a busy machine changes little.
"""

from __future__ import annotations

import gc
import os
import statistics
import struct
import time
from collections.abc import Callable, Sequence

from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import Claims, ReadingWriter, Record, parse_record, parse_strictly, record_hash
from ledger_client.formats.senml import Reading, Value
from ledger_client.formats.statement import Range, Statement, id_text, sign_statement, statement_id
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify

GATEWAY, LEDGER, METERS, VALUES = "bench", "bench-ledger", 10, 30
BATCH, LOG = 100, 1000  # records of a batch, entries of the ledger's log
BEGIN_S = 1_772_352_000
SMALLEST = ({"bundles": 200, "runs": 1},)


def run(bundles: int = 2000, runs: int = 5) -> dict[str, object]:
    """Medians of ``runs``, in each of which the three rates are measured right after one another."""
    made, trust = _bundles(bundles)
    rounds = [
        (_bare(bundles), _rate(made, trust, parse_record), _rate(made, trust, parse_strictly)) for _ in range(runs)
    ]
    bare, quick, strict = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "ratio": statistics.median(3 * q / b for b, q, _ in rounds),
        "ratio_strict": statistics.median(3 * s / b for b, _, s in rounds),
        "bundles_per_s": quick,
        "strict_bundles_per_s": strict,
        "bare_ed25519_per_s": bare,
        "values_per_record": VALUES,
        "bytes_per_bundle": sum(map(len, made)) // len(made),
        "bundles": bundles,
        "runs": runs,
    }


def _bare(bundles: int) -> float:
    """Signatures over 300 bytes that a key of the library verifies in a second."""
    key = PrivateKey.generate()
    library, message = key.public._key, os.urandom(300)
    signature = key.sign(message)
    gc.collect()
    started = time.process_time()
    for _ in range(3 * bundles):
        library.verify(signature, message)  # type: ignore[call-arg]
    return 3 * bundles / (time.process_time() - started)


def _rate(bundles: Sequence[bytes], trust: Trust, parse: Callable[[bytes], Record]) -> float:
    gc.collect()
    started = time.process_time()
    for bundle in bundles:
        verify(bundle, trust, BEGIN_S + 86_400, parse=parse)
    return len(bundles) / (time.process_time() - started)


def _bundles(count: int) -> tuple[list[bytes], Trust]:
    """Proofs of the readings of a few meters, batch after batch, and the trust file of whoever verifies them."""
    meters = {f"meter-{n:02}": PrivateKey.generate() for n in range(METERS)}
    statement, ledger, epoch = PrivateKey.generate(), PrivateKey.generate(), os.urandom(8)
    made: list[bytes] = []
    prev: bytes | None = None
    for batch in range(-(-count // BATCH)):
        records = _records(meters, batch, epoch)
        tree, at_s = Tree(map(leaf_hash, records)), BEGIN_S + (batch + 1) * 60
        each = BATCH // METERS
        ranges = {name: (Range(epoch, batch * each, batch * each + each - 1),) for name in meters}
        entry = sign_statement(
            Statement(
                GATEWAY, batch, at_s, prev, tree.root, tree.size, (at_s - 60) * 1000, at_s * 1000, ranges, bytes(32),
                "meterseal/bench",
            ),
            statement,
        )  # fmt: skip
        prev = statement_id(entry)
        log = Tree([*(os.urandom(32) for _ in range(LOG - 1)), leaf_hash(entry)])
        path, index = log.path(LOG - 1), LOG - 1
        receipt = sign_receipt(LEDGER, id_text(prev), at_s + 2, LOG, index, path, log.root, ledger)
        made += [
            Bundle(record, (), tree.size, n, tuple(tree.path(n)), entry, (receipt,)).encode()
            for n, record in enumerate(records)
        ]
    entries = [key_entry("meter", key.public, 0, gateway=GATEWAY, meter=name) for name, key in meters.items()]
    entries += [key_entry("statement", statement.public, 0, gateway=GATEWAY)]
    entries += [key_entry("ledger", ledger.public, 0, ledger=LEDGER)]
    policy = f'[policy]\nreceipts = 1\nledgers = ["{LEDGER}"]\nmax_delay = "8d"\n'
    return made[:count], parse_trust(policy + "".join(entries), "trust.toml")


def _records(meters: dict[str, PrivateKey], batch: int, epoch: bytes) -> list[bytes]:
    records = []
    for name, key in meters.items():
        writer, prev = ReadingWriter(GATEWAY, name, key), None
        for n in range(BATCH // METERS):
            seq = batch * (BATCH // METERS) + n
            at_ms = (BEGIN_S + batch * 60) * 1000 + n * 60_000 * METERS // BATCH
            values = tuple(Value(f"point_{k:02}", _float32(230 + seq * 0.001 + k), "V") for k in range(VALUES))
            claims = Claims(GATEWAY, name, at_ms // 1000, at_ms % 10**9, seq, epoch, prev, "S", 12)
            records.append(writer.sign(claims, Reading(at_ms, values)))
            prev = record_hash(records[-1])
    return records


def _float32(value: float) -> float:
    """As a 32-bit register would give it."""
    (rounded,) = struct.unpack(">f", struct.pack(">f", value))
    return float(rounded)
