"""An issuer and a holder that are killed at every station of a claim, beside a registry that runs: nothing is doubled,
and nothing is lost that had its receipt."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.certificates.holding.sending import kept
from ledger_client.claims.claim import Issue
from tests.support.certificates.certified import REGISTRY
from tests.support.certificates.market import Market, market
from tests.support.commands import ledger_command

KILLED = """
import os, signal, sys
from pathlib import Path
from ledger_client.certificates.holding import sending
from ledger_client.ledgers.http_registry import HttpRegistry
from ledger_client.cli.app import main

station, arrival = sys.argv[1], int(sys.argv[2])
sys.argv[1:] = sys.argv[3:]

def at(name):
    global arrival
    if name == station:
        arrival -= 1
        if not arrival:
            os.kill(os.getpid(), signal.SIGKILL)

submit, unlink, check, whole_file = HttpRegistry.submit, Path.unlink, sending.check_receipt, sending.whole_file

def submitted(self, entry):
    at("signed")
    return submit(self, entry)

def checked(*arguments):
    at("sent")
    return check(*arguments)

def unlinked(self, missing_ok=False):
    if self.suffix == ".claim":
        at("kept")
    unlink(self, missing_ok)
    if self.suffix == ".claim":
        at("done")

def written(path):
    if path.parent.parent.name == "outbox":
        at("begun")
    return whole_file(path)

HttpRegistry.submit, Path.unlink, sending.check_receipt, sending.whole_file = submitted, unlinked, checked, written
main()
"""
"""A command that kills itself at the n-th arrival at a station: begun, signed (and in the outbox), sent (and answered),
kept (with its receipt), done (out of the outbox)."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("town")) as made:
        yield made


def killed(station: str, arrival: int, *words: object) -> None:
    command = [sys.executable, "-c", KILLED, station, str(arrival), "certificate", *map(str, words)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL


def demand_whole(town: Market, party: str) -> None:
    """The outbox is empty, and each claim of the party is in its folder with the receipt that the registry has."""
    folder: Path = town.folder / party
    assert list((folder / "outbox" / REGISTRY).iterdir()) == []
    claims = list(kept(folder, REGISTRY))
    assert [signed.claim.number for signed, _ in claims] == list(range(len(claims)))
    done = ledger_command("certificate", "audit", town.ledger.url, "--trust", town.trust, "--json")
    assert (done.code, done.facts["faults"]) == (0, [])


@pytest.mark.parametrize("station", ["begun", "signed", "sent", "kept", "done"])
@pytest.mark.parametrize("arrival", [1, 3])
def test_an_issuer_goes_on_where_it_was_killed(town: Market, station: str, arrival: int) -> None:
    site = town.station()
    site.hour(site.node)
    before = len([1 for signed, _ in kept(town.folder / "issuer-1", REGISTRY) if isinstance(signed.claim.deed, Issue)])
    options = [site.rows_file, *site.files, "--node", "station", "--holder", "works", *town.at("issuer-1")]
    killed(station, arrival, "issue", *options)
    done = town.issue(site)
    assert done.code == 0, done
    assert {hour["state"] for hour in done.facts["hours"]} <= {"issued", "issued already"}
    shown = ledger_command("certificate", "list", "--device", site.device, *town.there, "--json").facts["certificates"]
    assert [one["certificate"] for one in shown] == [hour["certificate"] for hour in done.facts["hours"]]
    assert len([1 for _ in kept(town.folder / "issuer-1", REGISTRY)]) == before + 4
    demand_whole(town, "issuer-1")


@pytest.mark.parametrize("station", ["begun", "signed", "sent", "kept", "done"])
def test_a_holder_goes_on_where_it_was_killed(town: Market, station: str) -> None:
    first, second, *_ = town.certified()
    killed(station, 2, "transfer", first, f"{second}:0-500", "mill", *town.at("works"))
    done = town.run("transfer", first, f"{second}:0-500", "mill", by="works")
    assert done.code == 0, done
    assert town.slices(first) == [(0, 90_000, "held", "mill")]
    assert town.slices(second) == [(0, 500, "held", "mill"), (500, 90_000, "held", "works")]
    demand_whole(town, "works")


def test_two_commands_of_one_folder_do_not_run_beside_each_other(town: Market) -> None:
    cert = town.certified()[0]
    with (town.folder / "works" / ".outbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = town.run("transfer", cert, "mill", by="works")
        assert (done.code, "another command sends claims from here" in done.err) == (2, True), done
    assert town.run("transfer", cert, "mill", by="works").code == 0


def test_a_registry_that_does_not_answer_leaves_the_claim_to_the_next_run(town: Market) -> None:
    cert = town.certified()[0]
    assert town.run("transfer", f"{cert}:0-1", "mill", by="works").code == 0
    town.ledger.stop()
    try:
        done = town.run("transfer", f"{cert}:1-2", "mill", by="works")
        assert (done.code, done.out) == (2, ""), done
    finally:
        town.ledger.start()
    assert town.run("transfer", f"{cert}:1-2", "mill", by="works").code == 0
    demand_whole(town, "works")
