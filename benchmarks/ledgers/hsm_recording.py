"""What a statement key in a token costs recording: durable records a second with one, beside those with files.

Two journals on databases of their own record the same polls in turn, as fast as they go: signed, committed in groups,
cut and sealed. One has its statement key in SoftHSM2, the other in a file.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from gateway.clock import Clock
from gateway.config.device_keys import Keys, load_keys
from gateway.config.model import Config
from gateway.recording.journal import Journal
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from ledger_client.tokens.uri import TokenUri
from tests.support.samples import finished, site
from tests.support.tokens.softhsm import softhsm

EPOCH = bytes(range(8))


def recording_ratio(folder: Path, polls: int, runs: int, seal_count: int = 1000) -> float:
    """The median over ``runs`` of records a second with the token ÷ those with files; ``polls`` of each meter a run."""
    with softhsm(folder / "token") as token:
        key = token.token().generate(TokenUri.parse(token.uri("statement")))
        plain, held = (_Recording(site(folder / name), seal_count) for name in ("file", "held"))
        plain.open(load_keys(plain.config))
        held.open(replace(load_keys(held.config), statement=key))
        ratios = []
        for turn in range(runs):
            first, second = (plain, held) if turn % 2 else (held, plain)
            rates = {each: each.rate(polls) for each in (first, second)}
            ratios.append(rates[held] / rates[plain])
        plain.store.close()
        held.store.close()
    return median(ratios)


class _Recording:
    """One journal, and the polls that it has been given."""

    def __init__(self, config: Config, seal_count: int) -> None:
        self.config, self._polls = config, 0
        self.store = Database(config.database)
        self._clock = Clock(not_before_ms=self.store.records.latest_ms())
        self._rules = replace(
            Rules.of(config), seal_count=seal_count, periods_ms=dict.fromkeys(config.meters, 1), commit_every_ms=100
        )

    def open(self, keys: Keys) -> None:
        self._journal = Journal(self.store, keys, self._rules, self._clock, EPOCH)
        self._anchor_ms = self._journal.open()

    def rate(self, polls: int) -> float:
        """Records a second, with all that was cut sealed and durable."""
        began, due = time.perf_counter(), range(self._polls, self._polls + polls)
        for number in due:
            for meter in self.config.meters:
                self._journal.poll(finished(meter, self._anchor_ms + number, self._clock, number))
            self._journal.keep_time()
        self._journal.cut()
        while self.store.batches.cuts():
            self._journal.keep_time()
        self._polls += polls
        return polls * len(self.config.meters) / (time.perf_counter() - began)
