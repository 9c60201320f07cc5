"""Command init."""

from __future__ import annotations

from pathlib import Path

import click

NAME = "CONTROL.toml"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--database", metavar="URL", help="PostgreSQL: postgresql://USER@HOST:PORT/DATABASE.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with the password of the database.")
@click.option("--intake", metavar="URL", help="nats-server: nats://HOST:PORT, or tls://HOST:PORT.")
@click.option("--trust", type=click.Path(path_type=Path), help="Trust file with the keys of every gateway.")
@click.option("--name", help="Name of the control room: of its consumer at the broker.  [default: main]")
@click.option("--mqtt", metavar="URL", help="Where nats-server takes MQTT clients.  [default: mqtt://HOST:1883]")
def init(
    folder: Path, database: str | None, password_file: Path | None, intake: str | None, trust: Path | None,
    name: str | None, mqtt: str | None,
) -> None:  # fmt: skip
    """Make DIR/CONTROL.toml, the tables of the database and the consumer at the broker; with an existing CONTROL.toml
    what it names.

    The consumer comes before any gateway: without it the broker acknowledges records that nobody keeps. What is there
    already stays as it is, so after an error, such as a login that is missing in CONTROL.toml, run it again.
    """
    from control_room.intake.set_up import ensure_consumer
    from control_room.settings import load_settings, new_settings
    from control_room.store import schema
    from control_room.store.connection import connect
    from ledger_client.durable_files import write_text
    from ledger_client.verification.trust_file import load_trust

    path = folder / NAME
    there = path.exists()
    options = (database, password_file, intake, trust, name)
    if there and any(option is not None for option in options):
        raise click.UsageError(f"{path} is there already: change it, then run `meterseal-control init {folder}` alone")
    if there:
        settings = load_settings(path)
    else:
        if database is None or intake is None or trust is None:
            raise click.UsageError("--database, --intake and --trust are needed where there is no CONTROL.toml yet")
        settings, text = new_settings(path, database, password_file, intake, trust, name or "main")
    load_trust(settings.trust)
    settings.intake_access()
    password = settings.database_access().password_file
    if not there:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        click.echo(f"wrote {path}")
    settings.archive.mkdir(mode=0o750, parents=True, exist_ok=True)
    db = connect(settings.database.url, password)
    try:
        before, version = schema.make(db)
        identity = schema.identity(db)
    finally:
        db.close()
    click.echo(f"{'made' if before == 0 else 'found'} the tables in {db.where}, version {version}")
    ensured = ensure_consumer(settings, mqtt, identity)
    click.echo(f"{'made' if ensured.made else 'found'} the consumer {ensured.name} on {ensured.stream}")
    click.echo(f"next: meterseal-control run {path}")
