"""``scripts/demo --fleet 20 --for 120s [--dir FOLDER] [--json]``: a control room of many gateways on one machine.

Simulated meters, gateways, a nats-server, a PostgreSQL, an embedded ledger and two receivers, all real processes. At
the end the gateways' own databases are compared with the control room's, record by record, up to the last batch that
each gateway has sealed: recorded at the edges = stored = proven, nothing refused, no hole; and the archive is audited.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.field_types import duration_ms
from tests.support.brokers.nats import NATS
from tests.support.brokers.postgres import VERSIONS
from tests.support.fleet.books import books, holes, is_proven, sealed
from tests.support.fleet.site import Fleet, Size, fleet

PROVEN_WITHIN_S = 90.0
_LINE_EVERY_S = 10.0


def main(arguments: list[str]) -> int:
    """Exit code 0: all of it holds; 1: it does not; 2: it cannot be shown here."""
    given = _options(arguments)
    parts = {"nats-server": NATS.exists(), "postgresql": any(VERSIONS.glob("*/bin/postgres"))}
    if missing := [package for package, is_there in parts.items() if not is_there]:
        print(f"not installed: {', '.join(missing)}\ninstall: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 2
    folder = Path(given.folder or tempfile.mkdtemp(prefix="meterseal-fleet-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        print(f"{folder} is not empty: give another folder with --dir", file=sys.stderr)
        return 2
    summary = show(folder, given.fleet, given.seconds, given.meters)
    if given.as_json:
        print(json.dumps(summary))
    else:
        print("\n".join(_text(summary)))
    return 0 if summary["closed"] and summary["audited"] == summary["gateways"] else 1


def show(folder: Path, gateways: int, seconds: float, meters: int = 3, every: str = "2s") -> dict[str, Any]:
    """Run a fleet for so long, wait until what it has sealed is proven, and balance its books."""
    size = Size(gateways, meters, every, seal_every="10s")
    with fleet(folder, size, progress=_say) as running:
        _say(f"running for {seconds:g} s; all files in {folder}")
        _watch(running, seconds)
        until = [sealed(edge.loaded) for edge in running.edges]
        deadline = time.monotonic() + PROVEN_WITHIN_S
        while not is_proven(running.database, until) and time.monotonic() < deadline:
            time.sleep(0.5)
        balance = books(running, until)
        audits = running.audit()
        for name, answer in audits.items():
            if answer.code != 0:
                _say(f"audit of {name}: {answer.output}")
        for hole in holes(running):
            _say(f"hole: {hole}")
        return {
            "gateways": gateways,
            "meters": gateways * meters,
            "receivers": size.receivers,
            "seconds": seconds,
            **asdict(balance),
            "closed": balance.closed,
            "archived": len(list(running.archive.rglob("*.mbatch"))),
            "audited": sum(answer.code == 0 for answer in audits.values()),
            "archive": str(running.archive),
            "trust": str(running.trust),
        }


def _watch(running: Fleet, seconds: float) -> None:
    """Say every ten seconds what has come in; a part that ends by itself ends the demonstration with its log."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _LINE_EVERY_S))
        for server in (*running.receivers, *(edge.process for edge in running.edges)):
            assert server.process is not None
            assert server.process.poll() is None, f"{server.name} has ended:\n{server.log.read_text()[-2000:]}"
        ((records, batches, proven),) = running.database.query(
            "SELECT (SELECT sum(records) FROM meterseal.gateways), count(*), count(*) FILTER (WHERE state = 'proven')"
            " FROM meterseal.batches"
        )
        _say(f"{records or 0} records verified and stored, {batches} batches, {proven} of them proven")


def _text(summary: dict[str, Any]) -> list[str]:
    holds = "=" if summary["closed"] else "DO NOT AGREE:"
    return [
        "",
        f"{summary['gateways']} gateways, {summary['meters']} meters, {summary['receivers']} receivers, "
        f"{summary['seconds']:g} s; {summary['batches']} batches",
        f"recorded at the edges {summary['recorded']} {holds} stored {summary['stored']} {holds} proven "
        f"{summary['proven']}",
        f"lost {summary['lost']}, changed {summary['changed']}, doubled {summary['doubled']}, refused "
        f"{summary['refused']}, forked {summary['forked']}, holes {summary['holes']}",
        f"archive: {summary['archived']} batch files; those of {summary['audited']} of {summary['gateways']} gateways "
        "pass the audit",
        "",
        f"again:   meterseal-ledger audit {summary['archive']}/gw-00/*/*.mbatch --trust {summary['trust']}",
    ]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--fleet", type=_count, required=True, metavar="GATEWAYS", help="how many gateways")
    parser.add_argument("--for", type=_seconds, default="120s", dest="seconds", metavar="DURATION", help="how long")
    parser.add_argument("--meters", type=_count, default="3", help="meters of each gateway")
    parser.add_argument("--dir", dest="folder", help="folder of all files; empty, or not there yet")
    parser.add_argument("--json", action="store_true", dest="as_json", help="the summary as JSON")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not 1 <= (count := int(text)) <= 200:
        raise ValueError
    return count


def _seconds(text: str) -> float:
    return duration_ms(text) / 1000


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ended(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)  # everything is ended in order, as on Ctrl-C
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
