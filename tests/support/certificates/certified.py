"""A gateway whose station may be certified, with a statement of an hour by quarters; and an issuer that judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ledger_client.certificates.issuing import Judged, Terms, WhyNot, judge
from ledger_client.certificates.recomputed import recomputed
from ledger_client.formats.record import record_hash
from ledger_client.recompute.run import Result, recompute
from ledger_client.verification.trust import Trust
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW

DEVICE, REGISTRY, HOLDER = "GSRN-735999", "reg", "works"
CERTIFICATE: dict[str, Any] = {
    "id": DEVICE, "name": "Station", "source": "hydro", "technology": "run-of-river", "capacity": 500_000,
    "commissioned": "2019-05-01", "location": "25.04,102.71", "configuration": 1, "class": "conventional",
    "scheme": "gc",
}  # fmt: skip


def station(**also: Any) -> dict[str, Any]:
    """The node of the plan, with its device."""
    usual = {
        "role": "production", "terms": [[1, POINT]], "profile": "own-test", "zone": "CN-YN", "registry": REGISTRY,
        "certificate": CERTIFICATE,
    }  # fmt: skip
    return {name: value for name, value in (usual | also).items() if value is not None}


class Certified(Accounted):
    """``hour``: half an hour in each of two batches, stated in a third. ``hour_ms``: when it began; ``period``: the
    last statement's record; ``lie``: what a statement says instead of what follows."""

    rows_file: Path
    hour_ms: int = 0
    period: bytes = b""
    lie: Mapping[str, Any] = MappingProxyType({})

    def event(self, name: str, **fields: Any) -> bytes:
        """See Accounted."""
        return super().event(name, **(fields | dict(self.lie) if name == "period" else fields))

    def begin(self, node: dict[str, Any] | None = None, /, **plan: Any) -> int:
        """Publish a plan; the first edge that it rules."""
        from_ms = self.from_ms
        self.publish(plan_fields(from_ms, **({"nodes": {"station": node or station()}} | plan)))
        return from_ms

    def hour(self, node: dict[str, Any] | None = None, /, **plan: Any) -> int:
        """An hour of 1 kWh each 10 s; when it began."""
        from_ms = self.hour_ms = self.begin(node, **plan)
        self.polls(200)
        self.seal()
        self.second_half(from_ms)
        return from_ms

    def second_half(self, from_ms: int) -> None:
        """The other half of an hour whose first is sealed, and the statement of both."""
        self.polls(200)
        self.seal()
        self.stated(from_ms, 4, (0, 1))

    def stated(self, from_ms: int, quarters: int, batches: tuple[int, int], **choice: Any) -> Path:
        """State some quarters and seal; the rows file."""
        _, path = self.state(from_ms, from_ms + quarters * QUARTER_MS, batches, **choice)
        self.rows_file = path.rename(path.with_name(f"{len(self.files)}.mrows"))
        self.period = record_hash(self.rows[-1])
        self.polls(2)
        self.seal()
        return self.rows_file

    def restate(self, from_ms: int, closed_ms: int) -> Path:
        """A second version of the hour, in which the station was closed."""
        at = {"from": closed_ms, "to": closed_ms}
        self.event("entry", kind="closure", of="station", **at, values={}, unit="1", reason="closed", user="works")
        self.polls(2)
        self.seal()
        first = self.period
        return self.stated(from_ms, 4, (0, len(self.files) - 1), version=2, supersedes=first, reason="it was closed")

    def recomputed(self) -> Result:
        """All of its statements, with their rows."""
        return recompute(self.files, trusted(), NOW, keep_rows=True)

    def judged(
        self, node: str = "station", registry: str | None = REGISTRY, by: Trust | None = None,
        files: Sequence[Path] | None = None, rows: Path | None = None, **terms: Any,
    ) -> tuple[list[WhyNot], list[Judged]]:  # fmt: skip
        """What an issuer judges that recomputes it."""
        paths = self.files if files is None else files
        stated = recomputed(rows or self.rows_file, paths, by or delayed(), NOW, node)
        return judge(stated, Terms(node, HOLDER, registry, (by or delayed()).max_delay_s, **terms))


def delayed(most_s: int | None = 6 * 3600) -> Trust:
    """A trust file that lets batches be so late."""
    return replace(trusted(), max_delay_s=most_s)
