"""Units that devices have by the newest statements of some files, as recomputed: what C3 compares certificates with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from ledger_client.accounting.formats.civil_time import month_of_ms
from ledger_client.accounting.formats.rows import parse_row
from ledger_client.certificates.issuing import newest, units_of, why_not
from ledger_client.certificates.over_issued import Issued, OverIssue, over_issued
from ledger_client.claims.certificate import Certificate, digest
from ledger_client.recompute.run import Result


class Given:
    """By device what its intervals give, and which time the statements are of."""

    def __init__(self, results: Iterable[Result]) -> None:
        """``results``: of any gateways, recomputed with ``keep_rows``."""
        self.names: dict[bytes, str] = {}
        self._units: defaultdict[bytes, dict[tuple[int, int], int]] = defaultdict(dict)
        self._spans: defaultdict[bytes, list[tuple[int, int]]] = defaultdict(list)
        self._civil_min: dict[bytes, int] = {}
        for result in results:
            self._take(result)

    def _take(self, result: Result) -> None:
        for period, signed in newest(result):
            nodes = {n.name: digest(n.certificate["id"]) for n in signed.plan.nodes.values() if n.certificate}
            for name, device in nodes.items():
                self.names[device] = str(signed.plan.nodes[name].certificate["id"])  # type: ignore[index]
                self._spans[device].append((period.fields["from"], period.fields["to"]))
                self._civil_min[device] = signed.plan.civil_min
            assert period.statement is not None
            for row in map(parse_row, period.statement.rows):
                if row.node in nodes:
                    units = 0 if any(why_not(signed.plan, row)) else units_of(row)
                    self._units[nodes[row.node]][row.from_ms, row.to_ms] = units

    def units(self, certificate: Certificate) -> int | None:
        """What may be certified of a certificate's interval; None: no statement here is of it."""
        begin, end, device = certificate.from_ms, certificate.to_ms, certificate.device
        if not any(from_ms <= begin and end <= to_ms for from_ms, to_ms in self._spans.get(device, ())):
            return None
        rows = self._units.get(device, {})
        if (begin, end) in rows:
            return rows[begin, end]
        return sum(units for (from_ms, to_ms), units in rows.items() if begin <= from_ms and to_ms <= end)

    def over_issued(self, issued: Iterable[Issued]) -> list[OverIssue]:
        """The civil months in which more was issued than is given, of each device by its own plan."""
        by_device: defaultdict[bytes, list[Issued]] = defaultdict(list)
        for one in issued:
            by_device[one.certificate.device].append(one)
        found: list[OverIssue] = []
        for device, members in sorted(by_device.items()):
            if device in self._spans:
                found += over_issued(members, self.units, partial(month_of_ms, civil_min=self._civil_min[device]))
        return found
