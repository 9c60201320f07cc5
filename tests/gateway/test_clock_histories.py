"""Clock set and lost, disk slow and failing, meters late, process killed at any moment: due polls are counted once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.gateway.clock_history import History
from tests.gateway.samples import audited, site

HISTORIES, EPOCHS = 30, 4


def test_whatever_becomes_of_clock_disk_and_process_every_due_poll_is_counted_once(tmp_path: Path) -> None:
    loaded, done = site(tmp_path / "site"), Counter[str]()
    for seed in range(HISTORIES):
        history = History(loaded, random.Random(seed))
        try:
            history.run(EPOCHS)
        except BaseException as error:
            error.add_note(f"in history {seed}")
            raise
        done += history.done
        assert audited(loaded, tmp_path / f"exports {seed}") == [], f"history {seed}"
    assert min(done[end] for end in ("killed", "stopped", "start again")) >= 10, "the histories have become too quiet"
