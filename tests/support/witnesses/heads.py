"""Cosigned heads of the ledgers of ``tests.support.evidence``: their logs hold the entry as the third of four."""

from __future__ import annotations

from collections.abc import Mapping

from ledger_client.formats.bundle import Witnessed
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.notes import (
    COSIGNER_KEY,
    LOG_KEY,
    Checkpoint,
    Line,
    Note,
    Vkey,
    cosigned_line,
    signed_line,
)
from ledger_client.verification.witnesses import LogKey, Witness, entries_of
from tests.support.evidence import LEDGER, T0, key


def origin(ledger: str = LEDGER) -> str:
    return f"{ledger}/5f0c1a2b3c4d5e6f"


def log_key(ledger: str = LEDGER) -> LogKey:
    """The entry [[log]] of a ledger: its checkpoints are signed with a key of their own."""
    return LogKey(ledger, Vkey(origin(ledger), LOG_KEY, key(f"checkpoint {ledger}").public))


def witness(name: str) -> Witness:
    return Witness(name, Vkey(f"witness.example/{name}", COSIGNER_KEY, key(f"witness {name}").public))


def cosignature(text: str, name: str, time_s: int = T0 + 60) -> Line:
    return cosigned_line(text, witness(name).vkey.name, time_s, key(f"witness {name}"))


def head_of(tree: Tree, ledger: str = LEDGER, witnesses: tuple[str, ...] = ("w1", "w2")) -> Note:
    text = Checkpoint(origin(ledger), tree.size, tree.root).text
    signed = signed_line(text, origin(ledger), key(f"checkpoint {ledger}"))
    return Note(text, (signed, *(cosignature(text, name) for name in witnesses)))


def cosigned_head(
    entry: bytes, ledger: str = LEDGER, witnesses: tuple[str, ...] = ("w1", "w2"), *, later: tuple[bytes, ...] = ()
) -> Witnessed:
    """What a bundle has under ``witnessed``, of a log that has grown by ``later`` since the receipt."""
    tree = Tree([leaf_hash(data) for data in (b"policy", b"another", entry, b"later", *later)])
    return Witnessed(head_of(tree, ledger, witnesses).encode(), (tree.size, 2, tuple(tree.path(2))))


def witness_entries(*names: str, ledgers: tuple[str, ...] = (LEDGER,)) -> str:
    """The entries [[log]] and [[witness]] of a trust file."""
    return "".join(entries_of([log_key(ledger) for ledger in ledgers], [witness(name) for name in names]))


def demanded(n: int, *names: str, ledgers: tuple[str, ...] = (LEDGER,)) -> Mapping[str, str]:
    """What ``tests.support.evidence.trust`` takes for a trust file that demands ``n`` witnesses."""
    return {"policy": f"witnesses = {n}\n", "extra": witness_entries(*names, ledgers=ledgers)}
