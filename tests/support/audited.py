"""What an audit says of all that a gateway has sealed: its batches as files, each with a ledger's receipt."""

from __future__ import annotations

from pathlib import Path

from gateway.config.model import Config
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.audit.result import Audit
from ledger_client.audit.run import Wanted, audit
from ledger_client.formats.batch_file import write_batch
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry

LEDGER = PrivateKey.generate()
FAR_S = 2_000_000_000


def audited(loaded: Config, folder: Path, *, allow_resume: bool = False) -> Audit:
    """The audit of a database's sealed batches, each of which a ledger had as soon as it was sealed."""
    return audited_by(trust_of(loaded), loaded.database, folder, allow_resume=allow_resume)


def trust_of(loaded: Config) -> Trust:
    """The trust file of a site, with the ledger's key."""
    entry = key_entry("ledger", LEDGER.public, 0, ledger="demo-ledger")
    return parse_trust(loaded.trust.read_text() + entry, "trust.toml")


def audited_by(trust: Trust, database: Path, folder: Path, *, allow_resume: bool = False) -> Audit:
    """The same by another trust file."""
    paths = exported(database, folder)
    return audit(paths, trust, FAR_S, wanted=Wanted(allow_resume=allow_resume), processes=1)


def receipted(database: Path) -> None:
    """Every batch of a database gets its receipt, as from a running ledger."""
    store = Database(database)
    with store.transaction():
        for batch in store.batches.all():
            for anchor in store.anchors.of(batch.batch):
                receipt = _receipt(batch)
                store.anchors.mark(batch.batch, anchor.ledger, "settled", batch.sealed_ms + 1000, receipt=receipt)
    store.close()


def _receipt(batch: Batch) -> bytes:
    tree = Tree([leaf_hash(b"policy"), leaf_hash(batch.entry)])
    sub, iat = id_text(statement_id(batch.entry)), batch.sealed_ms // 1000 + 1
    return sign_receipt("demo-ledger", sub, iat, 2, 1, tree.path(1), tree.root, LEDGER)


def exported(database: Path, folder: Path) -> list[Path]:
    """A database's sealed batches as files, each with a ledger's receipt."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    store, paths = Database(database, read_only=True), []
    for batch in store.batches.all():
        paths.append(folder / f"{batch.batch}.mbatch")
        with paths[-1].open("wb") as file:
            rows = (row.data for row in store.batches.leaves(batch.first_id, batch.last_id))
            write_batch(file, rows, batch.entry, [_receipt(batch)])
    store.close()
    return paths
