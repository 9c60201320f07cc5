"""The part of an audit that is about its two ends: that nothing is missing in front of what is there, or behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger_client.audit_configured import Configured
from ledger_client.audit_coverage import Coverages
from ledger_client.audit_result import COVERAGE, ENDS, Audit
from ledger_client.audit_times import Times
from ledger_client.shape import rfc3339_ms
from ledger_client.statement import Statement

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
            if short_ms > 0 and (covered_ms is None or short_ms > self.times.jumped_ms(covered_ms, end_ms)):
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
            f"{meter}: {rfc3339_ms(told.from_ms)}"
            for meter, told in sorted(self.result.meters.items())
            if told.from_ms is not None and told.from_ms > from_ms + self._grace_ms(meter) and not told.begins
        ]
        if late:
            listed = f"{', '.join(late[:5])}{' …' if len(late) > 5 else ''}"
            text = f"the audit is to begin at {rfc3339_ms(from_ms)}, coverage begins later ({listed})"
            self.result.found(ENDS, None, f"{text}: give the files of the batches before batch {self._first[1]} too")
