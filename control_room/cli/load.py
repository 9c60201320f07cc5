"""Command load."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click


@click.command()
@click.argument("config_path", metavar="CONTROL.toml", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file and nothing else.")
def load(config_path: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Bring in exported batches (.mbatch), by the same checks as what gateways send: exit 0 all are proven, 1 not all.

    FILE may be a folder: then it is the .mbatch files in it.
    """
    from control_room.archive.files import Archive
    from control_room.completeness.load import load as load_batch
    from control_room.completeness.rounds import Rounds
    from control_room.settings import load_settings
    from control_room.store import schema
    from control_room.store.connection import connect
    from ledger_client.audit.files import evidence_in
    from ledger_client.errors import LedgerClientError
    from ledger_client.formats.batch_file import SUFFIX
    from ledger_client.verification.explain import clean
    from ledger_client.verification.trust_dates import demand_in_force
    from ledger_client.verification.trust_file import load_trust

    settings = load_settings(config_path)
    trust = load_trust(settings.trust)
    for warning in demand_in_force(trust, int(time.time())):
        click.echo(f"warning: {trust.source}: {warning}", err=True)
    db = connect(settings.database.url, settings.database_access().password_file)
    sound = True
    try:
        schema.demand(db)
        rounds = Rounds(db, Archive(settings.archive))
        for path in (path for path in evidence_in(files) if path in files or path.suffix == SUFFIX):
            facts: dict[str, object] = {"file": str(path), "state": None}
            try:
                loaded = load_batch(db, rounds, path, trust, time.time_ns() // 1_000_000)
            except LedgerClientError as error:
                sound = False
                facts["why"] = error.placed
                line = f"{path}: NOT LOADED: {clean(error.placed)}"
            else:
                sound = sound and loaded.state == "proven"
                why = loaded.why or (loaded.refusal.why if loaded.refusal else None)
                facts |= {"gateway": loaded.gateway, "batch": loaded.batch, **loaded.stored._asdict()}
                facts |= {"state": loaded.state, "why": None if why is None else why.problem}
                counts = ", ".join(f"{count} {name}" for name, count in loaded.stored._asdict().items())
                line = f"{path}: batch {loaded.batch} of {loaded.gateway}: {loaded.state or 'refused'}; "
                line += f"records: {counts}" + ("" if why is None else f"; {clean(why.problem)}")
            click.echo(json.dumps(facts) if as_json else line)
    finally:
        db.close()
    sys.exit(0 if sound else 1)
