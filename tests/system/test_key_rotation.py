"""Keys of a running gateway are replaced by a reload and retired; every proof holds, and no copy of an old key is of
use."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.cose_key import load_private_key
from ledger_client.formats.statement import parse_statement
from ledger_client.transparency.ledger.show import trust_entry
from tests.support.commands import Answer, audit_exports, gateway_command, ledger_command
from tests.support.gateways.farm import farm
from tests.support.gateways.sites import before, make_site, over_http, table, tcp_buses
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger, Server, embedded_ledger
from tests.support.tokens.softhsm import softhsm
from tests.system.demo_site import until

METER, OTHER = "meter-000", "meter-001"
NAMES = ("statement", METER)


def gateway(loaded: Config) -> Server:
    line = [sys.executable, "-m", "gateway.cli", "run", str(loaded.path)]
    return Server("gateway", line, "records", loaded.path.parent / "gateway.log")


def keys(loaded: Config, *words: object, code: int = 0) -> Answer:
    return gateway_command("keys", *words[:1], loaded.path, *words[1:]).ended(code)


def states(loaded: Config) -> dict[tuple[str, str], str]:
    """Owner and state of each key → its thumbprint, in hex."""
    listed = keys(loaded, "list", "--json").facts["keys"]
    return {(key["meter"] or "statement", key["state"]): key["kid"] for key in listed}


def look(loaded: Config, question: Callable[[Database], Any]) -> Any:
    store = Database(loaded.database, read_only=True)
    try:
        return question(store)
    finally:
        store.close()


def settled_by(loaded: Config, kid: str) -> int:
    """How many batches have a receipt whose statement is by this key."""

    def count(store: Database) -> int:
        settled = {anchor.batch for anchor in store.anchors.of() if anchor.state == "settled"}
        batches = [batch for batch in store.batches.all() if batch.batch in settled]
        return sum(parse_statement(batch.entry).kid.hex() == kid for batch in batches)

    return int(look(loaded, count))


def refusals(loaded: Config) -> list[str]:
    """What the ledger says of the batches that it does not take."""
    return [str(a.sentence) for a in look(loaded, lambda store: store.anchors.of()) if a.state == "refused"]


def enrolled(ledger: EmbeddedLedger, loaded: Config) -> str:
    return ledger_command("enroll", ledger.folder, loaded.keys / "gateway.enrol", "--yes").ended(0).out


def verified(ledger: EmbeddedLedger, loaded: Config, proof: Path) -> Answer:
    """By a trust file from the ledger's log."""
    folder = proof.parent
    (folder / "ledger.toml").write_text(trust_entry(ledger.folder))
    made = ("trust", "from", ledger.url, "--gateway", loaded.gateway_id, "--ledger-key", folder / "ledger.toml")
    ledger_command(*made, "-o", folder / "by-log.toml").ended(0)
    return ledger_command("verify", proof, "--trust", folder / "by-log.toml")


def test_keys_are_rotated_by_a_reload_and_retired_and_no_copy_of_them_counts(tmp_path: Path) -> None:
    with farm(2) as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(
            tmp_path / "site", tcp_buses(meters.ports, "500ms"), table("seal", every="1s"), gateway="hydro-07",
            since_s=before(0), ledgers=over_http(ledger), profiles={"bench.toml": PROFILE},
        )  # fmt: skip
        running = gateway(loaded)
        running.start()
        try:
            old = {name: states(loaded)[name, "in use"] for name in NAMES}
            until("batches by the old keys", lambda: settled_by(loaded, old["statement"]) > 1)
            running.stop()
            running.process = None
            shutil.copytree(loaded.path.parent, tmp_path / "yesterday", ignore=shutil.ignore_patterns("*.sock"))
            running.start()
            before_it = tmp_path / "old.mseal"
            gateway_command("prove", loaded.path, METER, "-o", before_it).ended(0)
            _rotate(loaded, ledger, old)
            new = {name: states(loaded)[name, "in use"] for name in NAMES}
            keys(loaded, "retire", old["statement"], "--reason", "planned", code=2)  # the gateway signs with it
            gateway_command("reload", loaded.path, "--yes").ended(0)
            until("a batch by the new keys", lambda: settled_by(loaded, new["statement"]) > 1)
            for kid in old.values():
                keys(loaded, "retire", kid, "--reason", "planned")
                keys(loaded, "retire", kid, "--reason", "again")
            assert enrolled(ledger, loaded).count("retired (planned), counts until") == 2
            after_it = tmp_path / "new.mseal"
            gateway_command("prove", loaded.path, METER, "-o", after_it).ended(0)
            for proof in (before_it, after_it):
                verified(ledger, loaded, proof).ended(0)
        finally:
            running.close()
        assert {states(loaded)[name, "retired"] for name in NAMES} == set(old.values())
        audited = audit_exports(loaded)
        assert (audited["exit"], audited["findings_total"]) == (0, 0), audited["findings"][:3]
        _copies_do_not_count(loaded, tmp_path / "yesterday", old["statement"])


def test_the_statement_key_moves_into_a_token_by_a_reload(tmp_path: Path) -> None:
    tokens, ledgers = softhsm(tmp_path / "token"), embedded_ledger(tmp_path / "ledger", "demo")
    with tokens as token, farm(1) as meters, ledgers as ledger:
        loaded = make_site(
            tmp_path / "site", tcp_buses(meters.ports, "500ms"), table("seal", every="1s"), gateway="hydro-08",
            since_s=before(0), ledgers=over_http(ledger), profiles={"bench.toml": PROFILE},
        )  # fmt: skip
        old = states(loaded)["statement", "in use"]
        running = gateway(loaded)
        running.start()
        try:
            until("a batch by the file", lambda: settled_by(loaded, old))
            to = ("--to", token.uri("statement-2"), "--module", token.module, "--pin-file", token.pin_file)
            keys(loaded, "rotate", "statement", *to)
            enrolled(ledger, loaded)
            keys(loaded, "rotate", "statement", "--use")
            loaded = load_config(loaded.path)
            assert loaded.document.gateway.statement_key == token.uri("statement-2")
            new = states(loaded)["statement", "in use"]
            gateway_command("reload", loaded.path, "--yes").ended(0)
            until("batches by the token", lambda: settled_by(loaded, new) > 1)
            keys(loaded, "retire", old, "--reason", "into a token")
        finally:
            running.close()
        assert not list(loaded.keys.rglob("statement*.pem"))
        audited = audit_exports(loaded)
        assert (audited["exit"], audited["findings_total"]) == (0, 0), audited["findings"][:3]


def _rotate(loaded: Config, ledger: EmbeddedLedger, old: dict[str, str]) -> None:
    for name in NAMES:
        keys(loaded, "rotate", name)
        keys(loaded, "rotate", name)  # the same key again
        keys(loaded, "rotate", name, "--use", code=2)  # the ledger does not list it
        keys(loaded, "retire", states(loaded)[name, "next"], "--reason", "x", code=2)
        keys(loaded, "retire", old[name], "--reason", "x", code=2)
    assert {name: states(loaded)[name, "in use"] for name in NAMES} == old
    waiting = {name: states(loaded)[name, "next"] for name in NAMES}
    shown = enrolled(ledger, loaded)
    assert (shown.count(": new"), shown.count("warning")) == (2, 0)
    for name in NAMES:
        keys(loaded, "rotate", name, "--use")
        keys(loaded, "rotate", name, "--use")  # done already
        assert states(loaded)[name, "in use"] == waiting[name]
        assert states(loaded)[name, "replaced"] == old[name]


def _copies_do_not_count(loaded: Config, yesterday: Path, kid: str) -> None:
    """Not a key file, nor the folder of keys, beside today's database or yesterday's; nor all of yesterday."""
    today = loaded.keys.with_name("today")
    shutil.copytree(loaded.keys, today)
    shutil.copyfile(yesterday / "keys" / "statement.pem", loaded.keys / "statement.pem")
    assert gateway_command("check", loaded.path).code != 0
    database = loaded.database.read_bytes()
    shutil.copyfile(yesterday / "data" / "meterseal.db", loaded.database)
    assert gateway_command("check", loaded.path).code != 0  # by the list in the folder
    loaded.database.write_bytes(database)
    shutil.rmtree(loaded.keys)
    shutil.copytree(yesterday / "keys", loaded.keys)
    assert gateway_command("check", loaded.path).code != 0  # by the database
    shutil.rmtree(loaded.keys)
    shutil.copytree(today, loaded.keys)
    gateway_command("check", loaded.path).ended(0)
    shutil.copyfile(loaded.trust, yesterday / "trust.toml")  # else it would not even believe what the ledger has
    whole = load_config(yesterday / "gateway.toml")
    assert load_private_key(whole.keys / "statement.pem").public.kid.hex() == kid
    known = settled_by(whole, kid)
    running = gateway(whole)
    running.start()
    try:
        assert "Key not valid" in until("a refusal", lambda: refusals(whole))[0]
    finally:
        running.close()
    assert settled_by(whole, kid) == known
