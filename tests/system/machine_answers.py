"""The keys of what our commands answer under ``--json``: the part of the machine contract that only a run can show.

Asked are the site of a former release, on which nothing runs, and a demonstration. ``python -m
tests.system.machine_answers`` writes the part "json keys" of the list anew; machine_contract.py says when one may.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gateway.storage.database import Database
from tests.support.audit_batches import Gateway, audited
from tests.support.commands import gateway_command, ledger_command
from tests.support.gateways.apart import apart
from tests.system.demo_site import until
from tests.system.former_site import put_back
from tests.system.machine_contract import PART, Keys, answer_keys, published, write

TRUST, METER = "trust.toml", "export-main"


def at_rest(folder: Path) -> dict[str, list[Any]]:
    """What commands answer about a site on which nothing runs."""
    put_back(folder)
    site, toml, trust = folder / "site", folder / "site" / "gateway.toml", folder / "site" / TRUST
    proof, batches = folder / f"{METER}.mseal", sorted((folder / "exports").glob("*.mbatch"))
    unknown = folder / "unknown.toml"
    unknown.write_text('[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n')
    with closing(Database(site / "data" / "meterseal.db")) as store:
        alarms = [alarm.as_json() for alarm in store.alarms.open()]  # `status` shows them while the gateway runs
    ledger_command("party", "new", "works", "-o", folder / "works")
    ledger_command("enroll", folder / "ledger", folder / "works" / "works.enrol", "--yes")
    gateway_command("token", "add", toml, "dashboard", "--scope", "readings", "--expires", "90d")
    copied, archive, written = site / "copy.db", folder / "site.tar", f"{site / 'exports'}/"
    return {
        "meterseal status": [gateway_command("status", toml, "--json").facts, {"alarms": alarms, "shelved": alarms}],
        "meterseal readings": [gateway_command("readings", toml, "--json").facts],
        "meterseal totals": [gateway_command("totals", toml, "--json").facts],
        "meterseal token list": [gateway_command("token", "list", toml, "--json").facts],
        "meterseal keys list": [gateway_command("keys", "list", toml, "--json").facts],
        "meterseal doctor": [gateway_command("doctor", toml, "--json").facts],
        "meterseal export": [gateway_command("export", toml, "-o", written, "--json").facts],
        "meterseal backup": [
            gateway_command("backup", toml, "-o", copied, "--json").facts,
            gateway_command("backup", toml, "--site", "-o", archive, "--json").facts,
        ],
        "meterseal restore": [gateway_command("restore", archive, folder / "restored", "--json").facts],
        "meterseal-ledger show": [ledger_command("show", folder / "ledger", "--json").facts],
        "meterseal-ledger verify": [
            ledger_command("verify", proof, "--trust", trust, "--json").facts,
            ledger_command("verify", proof, "--trust", unknown, "--json").facts,
        ],
        "meterseal-ledger audit": [
            ledger_command("audit", *batches, "--trust", trust, "--json").facts,
            ledger_command("audit", *batches[:2], "--trust", unknown, "--json").facts,
            audit_with_a_change(folder),
        ],
    }


def audit_with_a_change(folder: Path) -> Any:
    """The answer about a site whose configuration was changed."""
    gateway = Gateway(folder)
    paths = [gateway.write()]
    gateway.chains[METER].facts |= {"reversed": True, "series": True}
    return audited(*paths, gateway.write([gateway.configuration("change"), *gateway.usual()])).as_json()


@contextmanager
def demonstration(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A demonstration that runs until it is ended."""
    line = [sys.executable, "-m", "gateway.cli", "demo", "--dir", str(folder), "--json"]
    running = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


def running(folder: Path) -> dict[str, list[Any]]:
    """What commands answer while a gateway runs, and the summary of the demonstration in which it does."""
    toml = folder / "gateway" / "gateway.toml"

    def ask(*arguments: object) -> Any:
        printed = apart("gateway.cli", *arguments, "--json").out
        return json.loads(printed) if printed else None

    def settled() -> bool:
        facts: dict[str, Any] = (ask("status", toml) if toml.exists() else None) or {"meters": [], "ledgers": []}
        with_receipts = [ledger for ledger in facts["ledgers"] if ledger["settled"]]
        return bool(with_receipts) and all(meter["last"] for meter in facts["meters"])

    with demonstration(folder) as process:
        until("readings of all meters", settled)
        answers = {
            "meterseal status": [ask("status", toml)],
            "meterseal check": [ask("check", toml)],
            "meterseal clear-shared": [ask("clear-shared", toml, "rs485-1")],
        }
        toml.write_text(toml.read_text().replace('every = "10s"', 'every = "11s"'))
        answers["meterseal reload"] = [ask("reload", toml, "--dry-run"), ask("reload", toml, "--yes", "--wait")]
        process.terminate()
        out, _ = process.communicate()
    return answers | {"meterseal demo": [json.loads(out)]}


def collect(folder: Path) -> Keys:
    """The keys of all answers, by command."""
    rest, live = at_rest(folder / "former"), running(folder / "demo")
    return {name: answer_keys(*rest.get(name, ()), *live.get(name, ())) for name in sorted({*rest, *live})}


def main() -> None:
    """Write the keys anew; those of commands that other tests run stay as they are."""
    with tempfile.TemporaryDirectory() as name:
        found = collect(Path(name))
    write({PART: dict(sorted((published().get(PART, {}) | found).items()))})


if __name__ == "__main__":
    main()
