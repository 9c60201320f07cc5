"""Evidence commands: prove, export."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.export_period import export_period
from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable, open_store
from gateway.errors import GatewayError, output_to
from gateway.field_types import duration_ms
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from ledger_client.durable_files import whole_file
from ledger_client.formats.batch_file import is_batch_file
from ledger_client.formats.bundle import is_bundle

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.evidence.export import Exported
    from gateway.storage.database import Database
    from ledger_client.messages import Sentence


@click.command()
@CONFIG
@click.argument("record")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.mseal")
@click.option(
    "--witnessed", is_flag=True, help="Add heads of its ledgers' logs, cosigned by witnesses; asks the ledgers."
)
@FORCE
def prove(config_path: Path, record: str, output: Path, witnessed: bool, force: bool) -> None:
    """Write the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest anchored reading) to one file.

    With a meter's name also the proof of the commissioning record in force, if there is one, to FILE-commissioned.mseal
    beside it.
    """
    from gateway.evidence import prove as prover

    config, store = open_store(config_path)
    demand_replaceable(output, "proof (.mseal)", is_bundle, force=force)
    row = prover.find(store, record)
    add = _witnesses(config) if witnessed else bytes
    bundle = add(prover.prove(store, row))
    put_into_service, note = _commissioned(store, record, output)
    if put_into_service is not None:
        put_into_service = put_into_service[0], add(put_into_service[1])
    beside = output.with_name(f"{output.stem}-commissioned{output.suffix}")
    if put_into_service is not None:
        demand_replaceable(beside, "proof (.mseal)", is_bundle, force=force)
    _write(output, bundle)
    click.echo(f"wrote {output}: {row.id}, {len(bundle)} bytes")
    if put_into_service is not None:
        name, proof = put_into_service
        _write(beside, proof)
        click.echo(f"wrote {beside}: {name}, the commissioning record in force, {len(proof)} bytes")
    if note is not None:
        click.echo(f"note: {in_language(note, 'en')}", err=True)
    click.echo(f"verify it anywhere: meterseal-ledger verify {output} --trust {config.trust}")


def _witnesses(config: Config) -> Callable[[bytes], bytes]:
    """What adds cosigned heads to a proof; it says which ledger gives none."""
    from gateway.config.device_keys import load_site_trust
    from gateway.evidence.witnessed import witnessed

    trust = load_site_trust(config)

    def add(bundle: bytes) -> bytes:
        made, lacking = witnessed(bundle, config, trust)
        for lack in lacking:
            click.echo(f"note: {in_language(lack, 'en')}", err=True)
        return made

    return add


def _commissioned(store: Database, name: str, output: Path) -> tuple[tuple[str, bytes] | None, Sentence | None]:
    """Of a meter's name: id and proof of the commissioning record in force, or why that cannot be proven."""
    from gateway.commissioning.record.in_force import in_force
    from gateway.evidence import prove as prover

    found = in_force(store, name) if "/" not in name else None
    if found is None:
        return None, None
    if output.exists() and not output.is_file():  # a pipe has nothing beside it
        return None, Message("proof-commissioned-alone", output=str(output), record=found.row.id)
    try:
        return (found.row.id, prover.prove(store, found.row)), None
    except GatewayError as error:
        return None, Message("proof-commissioned-not", record=found.row.id, why=error.sentence)


def _write(path: Path, data: bytes) -> None:
    with output_to(path), whole_file(path) as file:
        file.write(data)


@click.command()
@CONFIG
@click.option(
    "--batch", "numbers", type=click.IntRange(0), multiple=True, metavar="N", help="Batch to export; repeatable."
)
@click.option("--older-than", "age", metavar="DURATION", help='Receipted batches older than this, such as "80d".')
@click.option("--period", metavar="PERIOD", help="Such as 2026 or 2026-10: all that its statements are made of.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@FORCE
@JSON
def export(
    config_path: Path,
    numbers: tuple[int, ...],
    age: str | None,
    period: str | None,
    output: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write whole batches with their receipts, for later proofs and audits.

    One --batch goes to FILE (.mbatch). Several, or without --batch all receipted ones, go to FOLDER, one file each;
    existing files are kept. --period writes to FOLDER what the statements of a period are made of, with rows and
    documents, for `meterseal-ledger recompute`; it waits until all of that is sealed and has receipts.
    """
    from gateway.evidence import export as exporter

    if (bool(numbers), age is not None, period is not None).count(True) > 1:
        raise click.UsageError("give one of --batch, --older-than and --period")
    if period is not None:
        export_period(config_path, period, output, as_json=as_json)
        return
    try:
        before_ms = int(time.time() * 1000) - duration_ms(age) if age else 1 << 62
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    config, store = open_store(config_path)
    if len(numbers) == 1 and not output.is_dir():
        demand_replaceable(output, "batch file (.mbatch)", is_batch_file, force=force)
        written = [exporter.export(store, numbers[0], output)]
        lacking = exporter.note_files(store, {numbers[0]: output})
    else:
        chosen = list(numbers) or store.batches.receipted(before_ms)
        written = []
        for done in exporter.export_to(store, config.gateway_id, chosen, output, pruning=not numbers):
            written.append(done)
            if not as_json:
                click.echo(f"wrote {done.path}: batch {done.batch}, {done.records} records, {done.size} bytes")
                _print_proofs(done)
        folder = {number: output / exporter.file_name(config.gateway_id, number) for number in chosen}
        lacking = exporter.note_files(store, folder)
        if not as_json:
            there = f"{output}: {len(chosen)} batches, {len(written)} of them new"
            none = "no batch has a receipt yet" if age is None else f"no batch older than {age} has a receipt"
            click.echo(there if chosen else f"{none}: see `meterseal status {config_path}`")
    if as_json:
        facts = [_facts(x) for x in written]
        click.echo(json.dumps({"written": facts, "not_noted": [in_language(lack, "en") for lack in lacking]}))
    elif not output.is_dir():
        click.echo(f"wrote {output}: batch {written[0].batch}, {written[0].records} records, {written[0].size} bytes")
        _print_proofs(written[0])
        files = " ".join(map(str, (output, *written[0].proofs)))
        click.echo(
            f"audit it anywhere: meterseal-ledger audit {files} --trust {config.trust}\n"
            f"prove a record from it: meterseal-ledger prove {output} METER/EPOCH/SEQ -o FILE.mseal"
        )
    for lack in lacking:
        click.echo(f"note: {in_language(lack, 'en')}", err=True)
    sys.exit(0)


def _print_proofs(done: Exported) -> None:
    for path in done.proofs:
        click.echo(f"  {path}: proves the configuration before this batch; include it in an audit")
    if done.unproven is not None:
        click.echo(f"  the configuration before this batch cannot be proven now: {in_language(done.unproven, 'en')}")


def _facts(done: Exported) -> dict[str, Any]:
    facts = {"batch": done.batch, "records": done.records, "file": str(done.path), "bytes": done.size}
    unproven = None if done.unproven is None else in_language(done.unproven, "en")
    return facts | {"proofs": [*map(str, done.proofs)], "unproven": unproven}
