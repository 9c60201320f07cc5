"""Show commands: status, doctor."""

from __future__ import annotations

import json
import sys
import time
from itertools import groupby
from pathlib import Path

import click

from gateway.cli.terminal.common import CONFIG, JSON, open_store, out
from gateway.config.load import load_config
from gateway.status import collect


@click.command()
@CONFIG
@click.option("--refused", is_flag=True, help="Show the packets that listening buses refused last.")
@JSON
def status(config_path: Path, refused: bool, as_json: bool) -> None:
    """Show meters, buffer, batches, ledgers and problems. Exit code 1 if there is a problem.

    With --refused show instead, from the running gateway, the last hundred packets that each bus on which loggers
    connect has refused: why, and the length and check value that they gave and that were found.
    """
    from gateway.cli.status_view import print_status

    if refused:
        _show_refused(config_path, as_json)
        return
    config, store = open_store(config_path)
    found = collect.collect(config, store, int(time.time() * 1000), *collect.ask(config))
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        print_status(out, found)
    sys.exit(1 if found.problems() else 0)


def _show_refused(config_path: Path, as_json: bool) -> None:
    from gateway.cli.refused_view import print_refused
    from gateway.process import control_socket

    found = control_socket.give(load_config(config_path).data, "refused")
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_refused(out, found["refused"])


@click.command()
@CONFIG
@click.option("--full", is_flag=True, help="Check the whole database, without a time limit.")
@JSON
def doctor(config_path: Path, full: bool, as_json: bool) -> None:
    """Check everything that the gateway depends on. Exit code 1 if a check is bad.

    Polls each meter once if no gateway is running, and changes nothing. May run before the first start.
    """
    from gateway.doctor import run
    from gateway.doctor.check import merged
    from gateway.process import instance_lock

    config = load_config(config_path)
    findings = []
    found = run.run_checks(config, int(time.time() * 1000), pid=instance_lock.running(config.data), full=full)
    for _, of_kind in groupby(found, key=lambda finding: finding.kind):
        alike = list(of_kind)
        findings += alike
        for finding in merged(alike) if not as_json else ():
            run.print_finding(out, finding)
    facts = run.as_json(findings)
    if as_json:
        click.echo(json.dumps(facts))
    else:
        counts = {result: sum(f.result == result for f in findings) for result in ("ok", "warn", "bad")}
        out.print(f"{counts['ok']} ok, {counts['warn']} warnings, {counts['bad']} bad")
    sys.exit(0 if facts["healthy"] else 1)
