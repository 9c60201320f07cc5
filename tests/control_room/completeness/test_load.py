"""Exported batches that are brought in by hand go by the checks of what a gateway sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from control_room.cli.load import load as command
from control_room.completeness.load import Loaded, load
from control_room.judged import Stored
from ledger_client.audit.files import files_in
from ledger_client.formats.batch_file import BatchFile, write_batch
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import parse_record, sign_record
from ledger_client.recompute.run import recompute
from ledger_client.verification.trust_text import key_entry
from tests.control_room.completeness.room import Room, room
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import OTHER, Gateway, trusted
from tests.support.brokers import postgres as engine
from tests.support.evidence import GATEWAY, METER, NOW, VALID_FROM, key, trust_text


@pytest.fixture
def control(database: engine.Database, tmp_path: Path) -> Iterator[Room]:
    with room(database, tmp_path / "archive") as made:
        yield made


def loaded(control: Room, path: Path) -> Loaded:
    return load(control.db, control.rounds, path, control.trust, control.now_ms)


def test_files_in_any_order_are_proven_and_close_what_is_missing(control: Room, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    paths = [gateway.write() for _ in range(4)]
    sizes = [len(BatchFile.open(path)) for path in paths]
    for number in (3, 0):
        assert loaded(control, paths[number]) == Loaded(
            "yunnan-hydro-07", number, Stored(new=sizes[number]), None, "proven", None
        )
    assert control.holes() == [(None, "{[1,3)}", None)]
    control.file(paths[1], first_place=1000, without=[2])  # of the second one the gateway has sent all but one
    control.round(3000)
    assert loaded(control, paths[1])[2:] == (Stored(new=1, repeated=sizes[1] - 1), None, "proven", None)
    assert loaded(control, paths[2]).state == "proven"
    assert (control.holes(), control.alarms()) == ([], set())
    assert loaded(control, paths[2])[2:] == (Stored(repeated=sizes[2]), None, "proven", None)


def test_a_statement_is_recomputed_from_the_archive(control: Room, tmp_path: Path) -> None:
    """By an auditor who has the archive, the trust file and the rows, and nothing of the gateway's."""
    (tmp_path / "site").mkdir()
    site = Accounted(tmp_path / "site")
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    for polls in (200, 200):
        site.polls(polls)
        site.seal()
    _, rows = site.state(from_ms, from_ms + 4 * QUARTER_MS, (0, 1))
    site.polls(2)
    site.seal()
    assert [loaded(control, path).state for path in site.files] == ["proven"] * 3
    result = recompute(list(files_in([control.folder])), trusted(), NOW, rows=[rows])
    assert result.audit.findings == []
    assert result.equal
    assert [period.rows_compared for period in result.periods] == [True]


def test_the_order_of_the_file_counts_where_the_gateway_sent_other_places(control: Room, tmp_path: Path) -> None:
    batch = BatchFile.open(Gateway(tmp_path).write())
    control.records((100 - i, data) for i, data in enumerate(batch.records()))
    control.statement(batch.entry, batch.receipts)
    control.round()
    assert control.batches()[0][1] == "control-batch-root"
    assert loaded(control, batch.path).state == "proven"
    assert control.holes() == []


def test_a_file_with_a_record_of_somebody_elses_key_is_refused_and_seen(control: Room, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    rows = gateway.usual()
    index, record = next((i, r) for i, r in enumerate(map(parse_record, rows)) if r.claims.meter == METER)
    rows[index] = sign_record(record.claims, record.body, key("thief"))
    entry = gateway.entry(rows)
    path = tmp_path / "forged.mbatch"
    with path.open("wb") as file:
        write_batch(file, rows, entry, [])
    found = loaded(control, path)
    assert found.stored == Stored(new=len(rows) - 1, refused=1)
    assert found.refusal is not None
    assert (found.refusal.step, found.state) == (2, "open")
    control.round(3000)
    assert control.alarms() == {"records-missing"}
    stranger: PrivateKey = key("another gateway")
    gateway.seals = stranger
    found = loaded(control, gateway.write())
    assert (found.state, found.refusal is not None) == (None, True)


def test_the_command_says_of_each_file_what_became_of_it(
    control: Room, database: engine.Database, tmp_path: Path
) -> None:
    other = key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)
    (tmp_path / "trust.toml").write_text(trust_text(extra=other))
    config = tmp_path / "CONTROL.toml"
    config.write_text(
        f'[control]\nname = "main"\n[database]\nurl = "{database.url}?sslmode=disable"\n'
        f'password_file = "{database.password_file}"\n[intake]\nurl = "nats://127.0.0.1:4222"\n'
    )
    (tmp_path / "exported").mkdir()
    gateway = Gateway(tmp_path / "exported")
    for _ in range(2):
        gateway.write()
    ran = CliRunner().invoke(command, [str(config), str(tmp_path / "exported"), "--json"])
    facts = [json.loads(line) for line in ran.output.splitlines()]
    assert (ran.exit_code, [(f["batch"], f["state"], f["why"]) for f in facts]) == (
        0, [(0, "proven", None), (1, "proven", None)],
    )  # fmt: skip
    broken = tmp_path / "exported" / "broken.mbatch"
    broken.write_bytes(b"\xa4")
    unsealed = gateway.write(receipts=[])
    ran = CliRunner().invoke(command, [str(config), str(broken), str(unsealed)])
    assert ran.exit_code == 1
    assert [line.split(": ")[0] for line in ran.output.splitlines()] == [str(broken), str(unsealed)]
