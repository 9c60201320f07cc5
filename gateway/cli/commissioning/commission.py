"""Command `meterseal commission`: a meter is put into service, question by question, and a signed record says how."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.commissioning.record_view import demand_alone, record_options, view
from gateway.cli.terminal.common import CONFIG


@click.command()
@CONFIG
@click.argument("meter", required=False)
@click.option(
    "--answers", type=click.Path(path_type=Path), metavar="FILE", help="Take the answers from FILE; ask nothing."
)
@click.option("--anew", is_flag=True, help="Forget what was answered before it was stopped.")
@record_options
def commission(
    config_path: Path,
    meter: str | None,
    answers: Path | None,
    anew: bool,
    show: bool,
    page: Path | None,
    language: str,
    force: bool,
    as_json: bool,
) -> None:
    """Put METER into service: compare it with its display, record ratios, direction, seals and photos, and sign it.

    Without METER: the meters of CONFIG one after the other, and those that a scan finds. Ctrl-C stops it; the answers
    are kept, and CONFIG is not touched before the end of a meter. A running gateway signs the record, else it waits in
    the data folder for the next start.

    With --show, --page or --json nothing is asked: they show the record of METER.
    """
    if show or page is not None or as_json:
        named = demand_alone(meter, answers is not None or anew)
        view(config_path, named, page=page, language=language, force=force, as_json=as_json)
        return
    from gateway.cli.commissioning import commission_run

    if answers is not None:
        commission_run.from_file(config_path, meter, answers, anew=anew)
    else:
        commission_run.at_terminal(config_path, meter, anew=anew)
