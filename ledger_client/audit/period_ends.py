"""Audit of both ends of the period: nothing missing before the first batch or after the last. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from ledger_client.audit.configuration import Configured
from ledger_client.audit.coverage import Coverages
from ledger_client.audit.result import CHAIN, COVERAGE, ENDS, Audit, Audited
from ledger_client.audit.times import Times
from ledger_client.formats.statement import Statement
from ledger_client.times import rfc3339_ms

Last = tuple[int, bytes] | None
"""A gateway's last batch at a ledger and its statement id; None: the ledger has nothing of the gateway."""
GRACE_MS: Final = 60_000
"""Coverage ends with the last poll that was finished: two recording periods and a minute behind the end at most."""


@dataclass(slots=True)
class Ends:
    """The beginning and the end of one gateway's files, and of the time that they are to tell of (ms)."""

    result: Audit
    configured: Configured
    coverages: Coverages
    times: Times
    from_ms: int | None
    to_ms: int | None
    _first: tuple[str, int | None] | None = None
    _end_ms: int = 0

    def end_batch(self, statement: Statement) -> None:
        """The batch at the end, so far."""
        self._first = self._first or self.result.place
        self._end_ms = statement.to_ms

    def end(self) -> None:
        """All batches were seen."""
        if self._first is None:
            return
        self._demand_end(COVERAGE, self._end_ms, "the last batch ends")
        if self.to_ms is not None and self.to_ms > self._end_ms:
            self._demand_end(ENDS, self.to_ms, "the audit is to end")
        if self.from_ms is not None:
            with self.result.speaking_of(self._first):
                self._demand_beginning(self.from_ms)

    def _grace_ms(self, meter: str) -> int:
        return 2 * self.configured.recorded_period_ms(meter) + GRACE_MS

    def _demand_end(self, step: str, end_ms: int, what: str) -> None:
        """The coverage of each configured meter reaches an end."""
        late = []
        for meter in sorted(self.configured.meters or {}):
            covered_ms = self.coverages.covered_to_ms(meter)
            short_ms = end_ms - (covered_ms or 0) - self._grace_ms(meter)
            if short_ms > 0 and (covered_ms is None or short_ms > self.times.jumps.between(covered_ms, end_ms)):
                late.append(f"{meter}: {'none' if covered_ms is None else rfc3339_ms(covered_ms)}")
        if late:
            listed = f"{', '.join(late[:5])}{' …' if len(late) > 5 else ''}"
            text = f"{what} at {rfc3339_ms(end_ms)}, and coverage long before that ({listed}): the rest is missing"
            self.result.found(step, None, text)

    def _demand_beginning(self, from_ms: int) -> None:
        """Files that do not begin with the first batch reach back as far as they are to."""
        assert self._first is not None
        if self._first[1] == 0:
            began_ms = self.result.from_ms
            if began_ms is not None and began_ms > from_ms:
                self.result.noted(f"the gateway began at {rfc3339_ms(began_ms)}: nothing was due before")
            return
        late = [
            f"{meter}: {rfc3339_ms(account.from_ms)}"
            for meter, account in sorted(self.result.meters.items())
            if account.from_ms is not None and account.from_ms > from_ms + self._grace_ms(meter) and not account.begins
        ]
        if late:
            listed = f"{', '.join(late[:5])}{' …' if len(late) > 5 else ''}"
            text = f"the audit is to begin at {rfc3339_ms(from_ms)}, coverage begins later ({listed})"
            self.result.found(ENDS, None, f"{text}: give the files of the batches before batch {self._first[1]} too")


def compare_with_ledgers(
    result: Audit, asked: Mapping[str, tuple[Last | str, ...]], *, to_the_end: bool, offline_ok: bool
) -> None:
    """What ledgers say of the gateway's last batch (``online.last_batches``), beside the files of a finished audit.

    ``to_the_end``: the files are to hold all that there is, not a period. ``offline_ok``: a ledger that could not be
    asked changes nothing.
    """
    if not result.batches:
        return
    ours = {batch.batch: batch for batch in result.batches}
    end = result.batches[-1]
    with result.speaking_of((end.file, end.batch)):
        for ledger, answers in sorted(asked.items()):
            for answer in answers:
                if isinstance(answer, str):
                    say = result.noted if offline_ok else partial(result.found, ENDS, None)
                    say(f"ledger {ledger}: {answer}")
                else:
                    result.asked[ledger] = answer[0] if answer else None
                    _compare(result, ledger, answer, ours, to_the_end=to_the_end)


def _compare(result: Audit, ledger: str, last: Last, ours: Mapping[int, Audited], *, to_the_end: bool) -> None:
    number, end = last[0] if last else -1, max(ours)
    held = f"ledger {ledger}: {f'its last batch is {number}' if last else 'it holds no batch of this gateway'}"
    if last and number in ours and ours[number].statement_id != last[1]:
        result.found(CHAIN, None, f"{held}, and another one than in {ours[number].file}: the gateway tells two stories")
    elif number > end and to_the_end:
        result.found(ENDS, None, f"{held}, the files end with batch {end}: give the files behind it too")
    elif number > end:
        result.noted(f"{held}, the files end with batch {end}")
    elif number < end and any(ledger == name for b in ours.values() if b.batch > number for name, _ in b.receipts):
        result.found(ENDS, None, f"{held}, and it gave receipts for later ones: it has lost what it held")
    elif number < end:
        result.noted(f"{held}, the files end with batch {end}")
