"""How busy each line was during the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.news import News
from gateway.site import Site

EVERY_S, SAMPLES = 5.0, 12


class Loads:
    """Looks at the lines every few seconds, when there is news. A listener of the hub."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: deque[tuple[float, dict[str, float]]] = deque(maxlen=SAMPLES + 1)

    def hear(self, news: Sequence[News]) -> None:
        """Something has happened."""
        now_s = self._site.clock.monotonic()
        if not self._seen or now_s - self._seen[-1][0] >= EVERY_S:
            self._seen.append((now_s, self._busy()))

    def of(self, line: str) -> float | None:
        """The share of the last minute during which the line was in use; None while that is not known."""
        if not self._seen:
            return None
        then_s, before = self._seen[0]
        passed_s = self._site.clock.monotonic() - then_s
        return min(1.0, (self._site.lines[line].busy_s - before[line]) / passed_s) if passed_s >= EVERY_S else None

    def _busy(self) -> dict[str, float]:
        return {name: line.busy_s for name, line in self._site.lines.items()}
