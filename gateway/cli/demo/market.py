"""Market of a demonstration: an issuer, a producer and a buyer at the ledger, and the commands that they give."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.cli.demo.month import Month
from gateway.cli.demo.parts import LEDGER_NAME, ledger_command
from gateway.errors import GatewayError
from gateway.messages.message import Message

ISSUER, PRODUCER, BUYER = "demo-issuer", "demo-producer", "demo-buyer"
ROLES: Final[Mapping[str, str]] = {ISSUER: "issuer", PRODUCER: "party", BUYER: "party"}
MAX_DELAY: Final = "36h"
"""In which the batches of an hour are at the ledger: sealed every 12 h, and some polls later."""


@dataclass(frozen=True, slots=True)
class Market:
    """The parties' folders, the trust file of all three, and the registry's address."""

    folder: Path
    trust: Path
    registry: str

    @classmethod
    def opened(cls, month: Month) -> Market:
        """Make the parties, enrol them, and give their keys to whoever believes the gateway and the ledger."""
        folder = month.place.folder / "parties"
        folder.mkdir()
        entries = []
        for name, role in ROLES.items():
            ledger_command("party", "new", name, "--role", role, "-o", folder / name)
            ledger_command("enroll", month.place.ledger, folder / name / f"{name}.enrol", "--yes")
            entries.append(ledger_command("party", "show", folder / name))
        trust = folder / "trust.toml"
        text = month.config.trust.read_text().replace("[policy]\n", f'[policy]\nmax_delay = "{MAX_DELAY}"\n', 1)
        trust.write_text("\n".join([text, *entries]))
        return cls(folder, trust, f"{LEDGER_NAME}={month.ledger}")

    def claim(self, who: str, command: str, *words: object) -> dict[str, Any]:
        """``certificate COMMAND`` of a party, what it answers as JSON. Raises GatewayError where it fails."""
        access = ("--key", self.folder / who, "--registry", self.registry, "--trust", self.trust, "--json")
        return asked("certificate", command, *words, *access)

    def of_device(self, device: str) -> list[dict[str, Any]]:
        """The certificates of a device, as the registry shows them."""
        found = asked("certificate", "list", "--device", device, "--registry", self.registry, "--json")
        return list(found["certificates"])


def asked(*words: object) -> dict[str, Any]:
    """What a command of the ledger answers as JSON. Raises GatewayError where it answers something else."""
    command = [sys.executable, "-m", "ledger_client.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if done.returncode != 0 or not isinstance(answer, dict):
        why = done.stderr.strip() or done.stdout.strip()[-2000:]
        raise GatewayError(Message("demo-ledger-command", command=" ".join(map(str, words[:2])), why=why))
    return answer
