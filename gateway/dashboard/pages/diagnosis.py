"""Doctor findings for the diagnosis page: run in a thread on demand, and kept until the next run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.alarms.board import AlarmBoard
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.doctor.check import Finding, error_message, merged
from gateway.errors import GatewayError

FRESH_S = 600.0
"""What was found so long ago is looked at again when somebody opens the page."""
ORDER = ("bad", "warn", "ok")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found up to now, the worst first; ``running``: there is more to come."""

    findings: tuple[Finding, ...]
    running: bool
    ended_ms: int | None

    @property
    def merged(self) -> list[Finding]:
        """The same with equal findings once."""
        return merged(self.findings)

    def count(self, result: str) -> int:
        """Number of findings with this result."""
        return sum(finding.result == result for finding in self.findings)


class Rounds:
    """One round at a time, whoever asks. Fields from ``_of`` on belong to the event loop and the thread of the round,
    under ``_lock``."""

    def __init__(self, in_force: Callable[[], Config], board: AlarmBoard, clock: Clock) -> None:
        self._in_force, self._board, self._clock = in_force, board, clock
        self._of: Config | None = None
        self._alarms: list[tuple[int, bool]] = []
        self._lock = threading.Lock()
        self._found: list[Finding] = []
        self._running = False
        self._ended: tuple[float, int] | None = None

    def look(self, *, again: bool = False) -> Diagnosis:
        """What is known; begins a round where nothing fresh is of the configuration in force and of the alarms that
        stand, or ``again``. In the event loop."""
        config, alarms = self._in_force(), [(alarm.id, alarm.active) for alarm in self._board.listed()]
        with self._lock:
            stale = self._ended is None or time.monotonic() - self._ended[0] > FRESH_S or self._of is not config
            stale = stale or self._alarms != alarms
            if not self._running and (again or stale):
                self._running, self._found, self._of, self._alarms = True, [], config, alarms
                threading.Thread(target=self._work, args=(config,), name="doctor", daemon=True).start()
            found = sorted(self._found, key=lambda finding: ORDER.index(finding.result))
            return Diagnosis(tuple(found), self._running, self._ended[1] if self._ended else None)

    def _work(self, config: Config) -> None:
        from gateway.doctor import run  # all checks, which nobody may ever ask for

        try:
            for finding in run.run_checks(config, self._clock.now_ms(), pid=os.getpid()):
                with self._lock:
                    self._found.append(finding)
        except GatewayError as error:
            with self._lock:
                self._found.append(Finding("doctor", "bad", error_message(error)))
        finally:
            with self._lock:
                self._running, self._ended = False, (time.monotonic(), self._clock.now_ms())
