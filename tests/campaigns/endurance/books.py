"""Do the books of meters close whatever happens to them, and can anyone count them again?

One gateway with four HJ 212 stations and two DL/T 645 meters. In ``seconds`` one station and one meter are silent for a
third, one station has no connection for two ninths and uploads later, one halves its interval; the gateway's clock
steps by three seconds, and the gateway is killed (SIGKILL) and started again. Then what was due is compared with what
was recorded and missed (``unbalanced``), with what follows from the signed records alone (``due_recounted``), and with
what the plant says: ``lost`` are messages that were acknowledged and are no records, or answers that are in no reading
and that no miss admits; ``doubled`` what is recorded twice. ``audit_findings``: of `meterseal-ledger audit`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from gateway.cli.demo import finish
from tests.campaigns.endurance.books_site import Course, Plant, accounts, both_protocols
from tests.campaigns.endurance.soak_gateway import ClockFile
from tests.support.books import check_books
from tests.support.gateways.apart import audit_findings
from tests.support.processes import Server, embedded_ledger

STEP_S = 3.0
REST_S = 3.0
"""After the course: what waits is uploaded."""
SMALLEST = ({"seconds": 15.0},)


def run(seconds: float = 180.0) -> dict[str, object]:
    """``seconds``: how long the plant runs."""
    with tempfile.TemporaryDirectory() as name, embedded_ledger(Path(name) / "ledger", "demo-ledger") as ledger:
        folder, course = Path(name), Course(seconds)
        loaded, listen, port = both_protocols(folder / "site", ledger, course)
        clock = ClockFile(folder / "clock")
        words = ["-u", "-m", "tests.campaigns.endurance.soak_gateway", loaded.path, folder / "clock", folder / "looks"]
        gateway = Server("gateway", [sys.executable, *map(str, words)], "records", folder / "gateway.log")
        plant = Plant(folder, course, listen, port)
        begun_s = time.monotonic()

        def at(share: float) -> None:
            time.sleep(max(0.0, begun_s + share * seconds - time.monotonic()))

        try:
            plant.start()
            begun_s = time.monotonic()
            gateway.start()
            at(0.15)
            clock.set(STEP_S, synchronised=True)
            at(0.3)
            gateway.kill()
            gateway.start()
            at(1)
            time.sleep(REST_S)
            assert plant.stop() == 0
            assert gateway.stop() == 0
        finally:
            plant.close()
            gateway.close()
        finish.finish(loaded, within_s=30)
        check_books(loaded)
        found = accounts(loaded, plant.log_of_answers)
        figures: dict[str, object] = {"seconds": seconds}
        for protocol, account in found.items():
            figures |= account.figures(protocol)
        return figures | {"audit_findings": audit_findings(loaded)}
