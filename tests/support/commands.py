"""Our commands, run in the test's own process without a terminal; and the audit of what a gateway exports."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Self

import click
from click.testing import CliRunner

from gateway.cli.app import main as gateway_cli
from gateway.config.model import Config
from ledger_client.cli.app import cli as ledger_cli
from ledger_client.errors import LedgerClientError
from ledger_client.log_lines import printable


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """Of ``--json``."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def output(self) -> str:
        """All that it printed."""
        return self.out + self.err

    def ended(self, code: int = 0) -> Self:
        """Itself, if it ended with this code and without a traceback."""
        assert (self.code, "Traceback" in self.err) == (code, False), self
        return self


def command(program: click.Command, *arguments: object, typed: str | None = None) -> Answer:
    """Run one of our commands; its exit code is that of the process, and what would be a traceback is raised.

    ``typed``: what stands on its standard input.
    """
    done = CliRunner().invoke(program, [*map(str, arguments)], input=typed)
    if isinstance(done.exception, LedgerClientError):  # as ledger_client.cli.app.main ends
        printed = "\n".join(map(printable, done.exception.in_lines.splitlines()))
        return Answer(2, done.stdout, f"{done.stderr}error: {printed}\n")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Answer(done.exit_code, done.stdout, done.stderr)


def ledger_command(*arguments: object, typed: str | None = None) -> Answer:
    """``meterseal-ledger``."""
    return command(ledger_cli, *arguments, typed=typed)


def gateway_command(*arguments: object, typed: str | None = None) -> Answer:
    """``meterseal``."""
    return command(gateway_cli, *arguments, typed=typed)


def audit_exports(loaded: Config, *options: object) -> dict[str, Any]:
    """Export every batch of an ended gateway, as an operator does, and audit all of it with the gateway's trust file:
    what ``audit --json`` says, with its exit code as ``exit``."""
    with tempfile.TemporaryDirectory() as folder:
        exported = gateway_command("export", loaded.path, "-o", f"{folder}/")
        assert exported.code == 0, exported
        answer = ledger_command("audit", *evidence_files(folder), "--trust", loaded.trust, "--json", *options)
    assert answer.out, answer.err
    return {**answer.facts, "exit": answer.code}


def evidence_files(folder: str | Path) -> list[Path]:
    """Batches and bundles in a folder, by name."""
    return sorted(path for path in Path(folder).iterdir() if path.suffix in (".mbatch", ".mseal"))


def check_audit(loaded: Config, *options: object) -> None:
    """Nothing is found against an ended gateway's exports."""
    facts = audit_exports(loaded, *options)
    assert (facts["exit"], facts["findings_total"]) == (0, 0), facts["findings"][:5]
