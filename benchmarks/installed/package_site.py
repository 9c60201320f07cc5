"""A site on a Debian machine, as docs/install.md makes it: the package, a plant, a ledger behind mutual TLS."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.installed.machine import Failed, Machine, until
from gateway.config.load import load_config
from tests.support.books import check_books
from tests.support.brokers.pki import Authority

UNIT, GATEWAY = "meterseal.service", "bench-gateway"
CONFIG, STATE = "/etc/meterseal/gateway.toml", "/var/lib/meterseal"
PLANT = "/opt/meterseal/share/meterseal/configs/demo/plant.toml"
PAGES = "127.0.0.1:8080"
CREDENTIALS = {"meterseal.cert": "gateway.pem", "meterseal.key": "gateway.key"}
LEDGER = """\
ca = "/etc/meterseal/ca.pem"
cert = "$CREDENTIALS_DIRECTORY/meterseal.cert"
key = "$CREDENTIALS_DIRECTORY/meterseal.key"
"""


class Site:
    """What runs on the machine beside the gateway's own unit: units ``plant`` and ``ledger``."""

    def __init__(self, machine: Machine, pki: Path) -> None:
        self.machine, self._authority = machine, Authority(pki)

    def install(self, package: Path) -> str:
        """Install or upgrade; what apt says."""
        inside = f"/srv/{package.name}"
        self.machine.path("/srv").mkdir(exist_ok=True)
        self.machine.path(inside).write_bytes(package.read_bytes())
        return self.machine.run("apt-get", "install", "-y", inside)

    def configure(self) -> dict[str, object]:
        """Plant and ledger run, the gateway is configured and enrolled; it is not started."""
        run = self.machine.run
        for name in ("ledger", "gateway"):
            pair = self._authority.issue(name, days=365)
            self.machine.write(f"/srv/pki/{name}.pem", pair.cert.read_text())
            self.machine.write(f"/srv/pki/{name}.key", pair.key.read_text(), 0o600)
        self.machine.write("/srv/pki/ca.pem", self._authority.ca.read_text())
        self.machine.write("/etc/meterseal/ca.pem", self._authority.ca.read_text())
        for credential, file in CREDENTIALS.items():
            text = self.machine.path(f"/srv/pki/{file}").read_text()
            self.machine.write(f"/etc/credstore/{credential}", text, 0o600)
        self.start_ledger()
        self.start_plant()
        self.machine.write("/srv/ledger.toml", run("meterseal-ledger", "show", "/srv/ledger", "--trust"))
        ledger = ("--ledger", "https://127.0.0.1:8700", "--ledger-key", "/srv/ledger.toml")
        run("meterseal", "init", "/etc/meterseal", "--state", STATE, "--id", GATEWAY, *ledger)
        path = self.machine.path(CONFIG)
        text = path.read_text()
        changes = {
            'port = "rs485-1"': 'port = "/srv/plant/rs485-1"', "# ca = ": f"{LEDGER}# ca = ",
            'every = "10s"': 'every = "5s"', 'every = "60s"': 'every = "5s"',
        }  # fmt: skip
        for old, new in changes.items():
            if old not in text:
                raise Failed(f"{CONFIG}: {old} is not in it")
            text = text.replace(old, new)
        path.write_text(f'{text}\n[web]\nlisten = "{PAGES}"\n')
        run("meterseal-ledger", "enroll", "/srv/ledger", f"{STATE}/keys/gateway.enrol", "--yes")
        return {"configured": True}

    def start_ledger(self) -> None:
        """The ledger, as a unit of its own; returns when it answers."""
        tls = "--cert /srv/pki/ledger.pem --key /srv/pki/ledger.key --client-ca /srv/pki/ca.pem"
        serve = f"meterseal-ledger serve /srv/ledger --listen 127.0.0.1:8700 {tls}"
        self.machine.run("systemd-run", "--unit=ledger", "--collect", "--setenv=PYTHONUNBUFFERED=1", *serve.split())
        until("the ledger", lambda: "listens on" in self.journal("ledger"))

    def start_plant(self) -> None:
        """The simulated meters, as a unit of its own, with the serial line open to the group of serial ports."""
        self.machine.path("/srv/plant").mkdir(exist_ok=True)
        ready = self.machine.path("/srv/plant/ready.json")
        ready.unlink(missing_ok=True)
        self.machine.path("/srv/plant").chmod(0o755)
        wires = "--dir /srv/plant --log /srv/plant/answers.jsonl --ready /srv/plant/ready.json"
        self.machine.run("systemd-run", "--unit=plant", "--collect", *f"meterseal-sim run {PLANT} {wires}".split())
        until("the plant", lambda: ready.exists() and ready.read_text().strip())
        self.machine.run("chgrp", "dialout", "/srv/plant/rs485-1")
        self.machine.run("chmod", "0660", "/srv/plant/rs485-1")

    def stop(self, *units: str) -> None:
        """End plant, ledger or the gateway."""
        self.machine.run("systemctl", "stop", *units)

    def journal(self, unit: str) -> str:
        """All that a unit has said."""
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    # — the gateway —

    def state(self) -> dict[str, str]:
        """How systemd sees the gateway."""
        names = ("ActiveState", "SubState", "Type", "MainPID", "NRestarts", "StatusText", "Result", "UnitFileState")
        return self.machine.show(UNIT, *names)

    def active(self) -> dict[str, str] | None:
        """Its state while it is active, which with Type=notify means that it has said READY=1."""
        state = self.state()
        return state if (state["ActiveState"], state["SubState"]) == ("active", "running") else None

    def again(self, before: Mapping[str, str], within_s: float) -> dict[str, str]:
        """Wait until another process of it is active, and records."""

        def other() -> dict[str, str] | None:
            state = self.active()
            return state if state and state["MainPID"] != before["MainPID"] else None

        state: dict[str, str] = until("another gateway process", other, within_s)
        self.goes_on()
        return state

    def goes_on(self) -> None:
        """Wait until three more readings are recorded, and what was sealed so far is anchored."""
        readings, receipts = self.count("records", "kind = 'reading'"), self.count("anchors", "state = 'settled'")
        until("more readings", lambda: self.count("records", "kind = 'reading'") >= readings + 3, 60)
        until("more receipts", lambda: self.count("anchors", "state = 'settled'") > receipts, 120)

    def count(self, table: str, where: str) -> int:
        """Rows of the gateway's database, 0 before there is one."""
        path = self.machine.path(f"{STATE}/data/meterseal.db")
        if not path.exists():
            return 0
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as link:
            return int(link.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])

    def records(self) -> set[bytes]:
        """Every record, byte for byte."""
        path = self.machine.path(f"{STATE}/data/meterseal.db")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as link:
            return {row[0] for row in link.execute("SELECT data FROM records")}

    def check_books(self, folder: Path) -> None:
        """Every signature, chain, interval, batch and receipt of the gateway, which does not run, holds."""
        folder.mkdir()
        text = self.machine.path(CONFIG).read_text().replace(STATE, str(self.machine.path(STATE)))
        (folder / "gateway.toml").write_text(text.replace('trust = "trust.toml"', f'trust = "{folder}/trust.toml"'))
        (folder / "trust.toml").write_text(self.machine.path("/etc/meterseal/trust.toml").read_text())
        check_books(load_config(folder / "gateway.toml"))

    def status(self) -> dict[str, Any]:
        """What `meterseal status` says."""
        status: dict[str, Any] = json.loads(self.machine.ask("meterseal", "status", CONFIG, "--json").stdout)
        return status

    def drop_in(self, text: str | None) -> None:
        """Put something over the unit, or (None) take it away again; takes effect at the next start."""
        path = f"/run/systemd/system/{UNIT}.d/bench.conf"
        if text is None:
            self.machine.run("rm", "-f", path)
        else:
            self.machine.run("mkdir", "-p", path.rpartition("/")[0])
            self.machine.ask("tee", path, text=text)
        self.machine.run("systemctl", "daemon-reload")

    def under_the_unit(self, code: str, *, without: str = "") -> str:
        """What a piece of Python prints that is run by this very unit in the gateway's place; ``without``: lines of the
        unit that begin so are left out."""
        text = self.machine.path(f"/usr/lib/systemd/system/{UNIT}").read_text()
        if without:
            text = re.sub(rf"(?m)^{without}.*\n", "", text)
        self.machine.write("/srv/probe.py", code)
        for pattern, put in (
            ("ExecStart=.*", "ExecStart=/opt/meterseal/bin/python3 /srv/probe.py"), ("Type=.*", "Type=oneshot"),
            ("(Restart|WatchdogSec|NotifyAccess).*\n", ""),
        ):  # fmt: skip
            text = re.sub(f"(?m)^{pattern}", put, text)
        self.machine.ask("tee", "/run/systemd/system/probe.service", text=text)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("journalctl", "--rotate")
        started = self.machine.ask("systemctl", "start", "probe.service")
        return self.journal("probe.service") if started.returncode == 0 else started.stderr
