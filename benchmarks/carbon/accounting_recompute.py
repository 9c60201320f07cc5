"""What a recomputation costs beside the audit that it holds, and beside the signatures alone: all three on the same
batches, in one process, in turns."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger_client.audit.run import Wanted, audit
from ledger_client.formats import cbor, cose
from ledger_client.formats.record import parse_record, record_hash
from ledger_client.recompute.run import recompute
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import EVERY_MS, signer_of, trusted
from tests.support.evidence import METER, NOW

BATCHES = 5


def run(polls: int, runs: int) -> dict[str, object]:
    """``polls`` of one meter, recomputed ``runs`` times; its quarters of an hour are stated, in two versions."""
    with TemporaryDirectory() as name:
        site = Accounted(Path(name))
        from_ms = site.from_ms
        site.publish(plan_fields(from_ms))
        for _ in range(BATCHES):
            site.polls(polls // BATCHES)
            site.seal()
        quarters = polls * EVERY_MS // QUARTER_MS - 2
        to_ms = from_ms + quarters * QUARTER_MS
        site.state(from_ms, to_ms, (0, BATCHES - 1))
        first = record_hash(site.rows[-1])
        site.polls(2)
        site.seal()
        _, rows = site.state(from_ms, to_ms, (0, BATCHES), version=2, supersedes=first, reason="anew")
        site.polls(2)
        site.seal()
        bare, audits, recomputed = [], [], []
        for _ in range(runs):
            bare.append(_bare_s(site.all))
            begin = time.process_time()
            found = audit(site.files, trusted(), NOW, wanted=Wanted(allow_resume=True), processes=1)
            middle = time.process_time()
            result = recompute(site.files, trusted(), NOW, rows=(rows,), processes=1)
            recomputed.append(time.process_time() - middle)
            audits.append(middle - begin)
            assert not found.findings
            assert result.equal
    return {
        "audit_s": median(audits), "recompute_s": median(recomputed),
        "recompute_ratio": median(audits) / median(recomputed), "recompute_records": len(site.all),
        "recompute_verify_ratio": median(one / all_of for one, all_of in zip(bare, recomputed, strict=True)),
    }  # fmt: skip


def _bare_s(records: list[bytes]) -> float:
    """Seconds of the processor that the library needs for the signatures of these records, and nothing else."""
    key = Ed25519PublicKey.from_public_bytes(cbor.decode(signer_of(METER).public.cose_key)[-2])
    signed = []
    for sign1 in (record.sign1 for record in map(parse_record, records) if record.claims.meter == METER):
        assert sign1.payload is not None
        signed.append((sign1.signature, cose.sig_structure(sign1.protected_bytes, sign1.payload)))
    begin = time.process_time()
    for signature, message in signed:
        key.verify(signature, message)
    return time.process_time() - begin
