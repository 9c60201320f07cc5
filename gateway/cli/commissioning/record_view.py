"""Options of `meterseal commission` that show a record: as text, as one JSON object, or as a page to print."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.terminal.common import FORCE, JSON, demand_replaceable, no_meter
from gateway.errors import NotYet, output_to
from gateway.messages.message import Message
from gateway.process.file_owner import is_there
from ledger_client.durable_files import whole_file

if TYPE_CHECKING:
    from gateway.commissioning.record.in_force import InForce
    from gateway.commissioning.record.page import Shown
    from gateway.config.model import Config

_C = TypeVar("_C", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--show", is_flag=True, help="Show the record of METER that is in force, or waits to be signed."),
    click.option(
        "-o", "--page", type=click.Path(path_type=Path), metavar="FILE.html", help="Write it as one page to print."
    ),
    click.option(
        "--language", type=click.Choice(("en", "zh", "both")), default="en", show_default=True, help="Of the record."
    ),
    FORCE,
    JSON,
)


def record_options(command: _C) -> _C:
    """The options that show a record: ``show``, ``page``, ``language``, ``force`` and ``as_json``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def demand_alone(meter: str | None, wizard: bool) -> str:
    """The meter whose record is to be shown. Raises UsageError without one, or with options of the ``wizard``."""
    if meter is None:
        raise click.UsageError("give METER with --show, --page or --json")
    if wizard:
        raise click.UsageError("--show, --page and --json show a record: leave out --answers and --anew")
    return meter


def view(config_path: Path, meter: str, *, page: Path | None, language: str, force: bool, as_json: bool) -> None:
    """Show the record of a meter. Raises NotYet where there is none, GatewayError."""
    from gateway.commissioning.record.page import as_html, as_text
    from gateway.commissioning.record.words import Words
    from gateway.config.load import load_config

    config = load_config(config_path)
    shown, signed = _found(config, meter)
    if page is not None:
        demand_replaceable(page, "printed commissioning record (.html)", _is_page, force=force)
        with output_to(page), whole_file(page) as file:
            file.write(as_html(shown, language).encode())
    if as_json:
        click.echo(json.dumps(_facts(shown, signed)))
    elif page is not None:
        click.echo(f"wrote {page}: {shown.record_id or f'the record of {meter}, which is not signed yet'}")
    else:
        click.echo(as_text(shown, Words(language)))


def _found(config: Config, meter: str) -> tuple[Shown, InForce | None]:
    """The record that waits, else the one in force, which is given too."""
    from gateway.commissioning.record import in_force, submit
    from gateway.commissioning.record.page import Shown
    from gateway.storage.database import Database

    path, signed = submit.waiting_path(config.data, meter), None
    if is_there(config.database):
        store = Database(config.database, read_only=True)
        try:
            signed = in_force.in_force(store, meter)
        finally:
            store.close()
    record = _waiting(path) if is_there(path) else None
    if record is None and signed is None:
        if meter not in config.meters:
            raise no_meter(config, meter)
        raise NotYet(Message("commissioned-none", meter=meter, config=str(config.path)))
    shown = record or (signed.record if signed else None)
    assert shown is not None
    return Shown(
        gateway=config.gateway_id,
        record=shown,
        record_id=signed.row.id if signed and record is None else None,
        state=signed.state if signed and record is None else "waiting",
        zone=config.zone,
        batch=signed.batch if signed and record is None else None,
        ledgers=signed.ledgers if signed and record is None else (),
        device=_device(config, meter, shown.profile_hash),
        before=signed.row.id if signed and record is not None else None,
    ), signed


def _waiting(path: Path) -> Any:
    from gateway.commissioning.record import submit
    from gateway.errors import GatewayError
    from gateway.messages.system_errors import os_error

    try:
        return submit.read(path)
    except OSError as error:
        raise GatewayError(Message("commissioned-not-read", path=str(path), error=os_error(error))) from None


def _device(config: Config, meter: str, profile_hash: bytes) -> str:
    """What the profile of the configuration says of the device, if it still is that of the record."""
    configured = config.configured.get(meter)
    if configured is None or configured.profile_hash != profile_hash:
        return ""
    profile = config.profiles[meter]
    return f"{profile.vendor} {profile.device}".strip()


def _facts(shown: Shown, signed: InForce | None) -> dict[str, Any]:
    from ledger_client.verification.as_json import plain_json

    return {
        "meter": shown.record.meter,
        "record": shown.record_id,
        "state": shown.state,
        "batch": shown.batch,
        "ledgers": list(shown.ledgers),
        "signed_before": shown.before,
        "content": plain_json(dict(shown.record.event().fields)),
    }


def _is_page(path: Path) -> bool:
    """A page of this command."""
    from gateway.commissioning.record.page import MADE_BY

    with path.open("rb") as file:
        return MADE_BY.encode() in file.read(2000)
