"""Clock set and lost, disk slow and failing, meters late, process killed at any moment: due polls are counted once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.support.audited import audited
from tests.support.clock_history import History
from tests.support.samples import site

HISTORIES, EPOCHS = 30, 4


def test_whatever_becomes_of_clock_disk_and_process_an_audit_counts_every_due_poll_once(
    tmp_path: Path,
) -> None:
    loaded, done = site(tmp_path / "site"), Counter[str]()
    for seed in range(HISTORIES):
        history = History(loaded, random.Random(seed))
        try:
            history.run(EPOCHS)
            history.end()
            result = audited(loaded, tmp_path / "files")
            assert (result.findings, bool(result.batches)) == ([], True)
        except BaseException as error:
            error.add_note(f"in history {seed}")
            raise
        done += history.done
    assert min(done[end] for end in ("killed", "stopped", "start again")) >= 10, "the histories have become too quiet"
