"""How long the statement of a period takes from a gateway's database: meters that are read every 10 s, one node each.

The shipped journal writes the database, signing each record, on a machine whose time is moved by hand.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.accounting.history import history_of
from gateway.accounting.stating import FOLDER, make, parts
from ledger_client.accounting.formats.civil_time import month_ms
from tests.ledger_client.accounting.plans import HOUR
from tests.support.desk import wide_site
from tests.support.stated import EVERY_MS, Site, plan_fields

LINE = 25
"""So many meters are on one line."""
BEHIND = 60
"""Polls behind the period, so that its end is covered."""


def run(meters: int, hours: int) -> dict[str, object]:
    """So many hours from the beginning of a civil month."""
    names = [f"meter-{n:03}" for n in range(meters)]
    with TemporaryDirectory() as name:
        folder = Path(name) / "site"
        lines = {f"bus-{n}": names[n * LINE : (n + 1) * LINE] for n in range(-(-meters // LINE))}
        site = Site(folder, wide_site(folder, lines), began_ms=month_ms(2026, 10, 480))
        (usual,) = plan_fields(0)["points"].values()
        (station,) = plan_fields(0)["nodes"].values()
        points = {f"{meter}/energy_export": usual for meter in names}
        nodes = {f"station-{n}": station | {"terms": [[1, point]]} for n, point in enumerate(points)}
        site.publish(points=points, nodes=nodes)
        site.polls(hours * HOUR // EVERY_MS + BEHIND)
        site.stop()
        store = site.store()
        try:
            records = store.count("SELECT count(*) FROM records")
            begin = time.perf_counter()
            history = history_of(store)
            (part,) = parts(history, "main", site.from_ms, site.from_ms + hours * HOUR)
            made = make(store, history, part, folder / FOLDER, None)
            spent_s = time.perf_counter() - begin
        finally:
            store.close()
        assert len(made.statement.rows) == 4 * hours * meters
    return {"statement_s": spent_s, "statement_records": records, "statement_read": made.records}
