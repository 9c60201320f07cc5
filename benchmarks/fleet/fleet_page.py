"""The page of ten thousand gateways, as a browser asks for it: of a database that many of them filled."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from control_room.store import schema
from tests.control_room.web.fleet_site import NOW_MS, STATUS, opened, served
from tests.gateway.dashboard.pages_site import Browser
from tests.support.brokers import postgres

_RUNS = 9
# of each gateway the polls of the day and three batches, of which the newest of every tenth is not proven yet; of every
# twentieth an alarm, of every fiftieth a hole, of every hundredth something that was refused
_FILL = """
    SET search_path = meterseal;
    INSERT INTO gateways (name, heard, newest, proven, clock, status, status_at, records)
    SELECT 'gw-' || n, now - interval '10 s', now - interval '20 s', now - interval '1 min', 'S', '{status}',
        now - interval '30 s', 1000000
    FROM generate_series(1, {count}) AS n, (SELECT to_timestamp({now_ms} / 1000.0) AS now) AS t;
    INSERT INTO days SELECT id, to_timestamp({now_ms} / 1000.0)::date, 864000, 863990 FROM gateways;
    INSERT INTO batches (gateway, batch, statement_id, entry, from_at, to_at, size, iat, arrived, state)
    SELECT id, b, sha256((id || ' ' || b)::bytea), '', ago + interval '1 min' * b, ago + interval '1 min' * (b + 1),
        600, ago, ago, CASE WHEN b = 2 AND id % 10 = 0 THEN 'open' ELSE 'proven' END
    FROM gateways, generate_series(0, 2) AS b, (SELECT to_timestamp({now_ms} / 1000.0) - interval '4 min' AS ago) AS t;
    INSERT INTO alarms (gateway, source, code, text, since, raised)
    SELECT id, 'gateway', 'comms-lost', 'no answer', now(), now() FROM gateways WHERE id % 20 = 0;
    INSERT INTO holes (gateway, batches, since, next_ask) SELECT id, '{{[7,9)}}', now(), now()
    FROM gateways WHERE id % 50 = 0;
    INSERT INTO refused (at, topic, gateway, step, why, size, bytes, hash)
    SELECT now(), 'meterseal-records/v1/x/records', name, 2, '{why}', 3, 'abc', sha256(name::bytea)
    FROM gateways WHERE id % 100 = 0;
    ANALYZE
"""


def page_figures(cluster: postgres.Cluster, gateways: int) -> dict[str, object]:
    """Milliseconds from the request for the page of so many gateways to its last byte, the median of some."""
    database = cluster.database("page")
    try:
        with closing(opened(database)) as db:
            schema.make(db)
        why = json.dumps({"message": "control-null-character", "facts": {"name": "meter"}})
        database.run(_FILL.format(count=gateways, now_ms=NOW_MS, status=json.dumps(STATUS), why=why))
        names = [f"gw-{n}" for n in range(1, gateways + 1)]
        with tempfile.TemporaryDirectory() as name, served(Path(name), database, names) as (port, _):
            browser = Browser(port)
            assert browser.login("vera").status == 303
            took = []
            for _ in range(_RUNS + 1):
                begun = time.perf_counter()
                answer = browser.ask("GET", "/")
                took.append((time.perf_counter() - begun) * 1000)
                assert answer.status == 200, answer
    finally:
        database.drop()
    return {
        "page_gateways": gateways,
        "page_ms": statistics.median(took[1:]),
        "page_first_ms": took[0],
        "page_bytes": len(answer.text),
    }
