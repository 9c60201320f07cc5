"""Notes of an audit: one that matters does not go unseen among others."""

from __future__ import annotations

from pathlib import Path

from ledger_client.audit.notes import KEPT, LONGEST, Kind, Notes
from ledger_client.audit.report import audit_in_words
from tests.support.audit_batches import Gateway, audited, findings, trusted
from tests.support.witnesses.heads import demanded


def test_thinning_once_and_again_is_one_line_for_each_factor(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    paths = [gateway.write()]
    for factor in (2, 5) * 6:
        rows = [*gateway.polls(1), *gateway.thin(factor), *gateway.polls(factor), *gateway.cut()]
        paths.append(gateway.write(rows))
    result = audited(*paths)
    assert (findings(result), len(result.notes)) == ([], 12)
    lines = [line.split(": ", 1)[1] for line in audit_in_words(result) if "to be known" in line]
    assert lines == [
        f"every {factor}. poll is recorded from here on, the database being nearly full (5 more of the kind: --json)"
        for factor in (2, 5)
    ]


def test_that_witnesses_are_not_judged_is_a_note_and_no_finding(tmp_path: Path) -> None:
    path = Gateway(tmp_path).write()
    unasked, asked = audited(path), audited(path, by=trusted(**demanded(1, "w1")))
    assert (findings(asked), asked.sound, len(asked.notes)) == ([], True, len(unasked.notes) + 1)


def test_of_notes_of_one_kind_the_one_of_the_longest_time_is_the_line() -> None:
    notes = Notes()
    for ms in (1000, 7_200_000, 1000):
        notes.add(f"{ms} ms are lost", Kind.LOST, "export-main", ms)
    assert notes.lines() == ["7200000 ms are lost (2 more of the kind, together 2 h 0 min: --json)"]


def test_no_line_is_left_out_whatever_stands_beside_it() -> None:
    notes = Notes()
    for number in range(KEPT):
        notes.add(f"batch {number}: not confirmed", Kind.UNCONFIRMED, "receipts")
    notes.add("x" * 10_000)
    notes.add("another")
    notes.add("export-main: 3 readings without a value", Kind.CONTENTS, "export-main")
    assert notes.lines() == [
        "export-main: 3 readings without a value",
        "x" * LONGEST + " (1 more of the kind: --json)",
        f"batch 0: not confirmed ({KEPT - 1} more of the kind: --json)",
    ]
    assert (notes.total, len(notes.texts())) == (KEPT + 3, KEPT)
