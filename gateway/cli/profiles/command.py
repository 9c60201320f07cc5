"""Command `meterseal profiles`: the catalog, one profile, or the trial of a profile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from gateway.cli.profiles.csv_import import BASES
from gateway.cli.terminal.common import FORCE, JSON, demand_replaceable, out
from gateway.errors import GatewayError, output_to
from gateway.messages.message import Message
from ledger_client.durable_files import whole_file


@click.command()
@click.argument("name", required=False)
@click.option(
    "--check",
    "file",
    metavar="FILE",
    help="Check FILE, a profile of your own: its rules, the reads and their time on the line, its provenance, and one "
    "poll of a simulated device.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print the points of NAME as CSV.")
@click.option(
    "--from-csv",
    "table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make a profile of FILE, a table with a line for each point; docs/profiles.md lists its columns.",
)
@click.option(
    "--base",
    type=click.Choice(BASES),
    help="How FILE counts registers: from 0, from 1, or as 40001 (holding) and 30001 (input registers).",
)
@click.option("--new", is_flag=True, help="Print a commented profile to fill in.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the CSV or the profile to FILE.",
)
@FORCE
@JSON
def profiles(
    name: str | None,
    file: str | None,
    as_csv: bool,
    table: Path | None,
    base: str | None,
    new: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """List the catalog of meters, or show the points of one profile.

    The column `provenance` counts points by how well their sources support them: seen (two independent sources),
    single, inferred, open. With --check exit code 1 if a plan or the simulated poll fails.
    """
    from gateway.cli.profiles import profile_view
    from gateway.devices.profile import SKELETON, catalog, load_profile

    if name is not None and file is not None:
        raise click.UsageError("NAME and --check FILE exclude each other")
    _demand_sense(name, file, table, base, output, as_csv=as_csv, new=new, as_json=as_json)
    if new:
        _write(SKELETON.read_text(), output, "profile (.toml)", _is_profile, force=force)
    elif as_csv and name is not None:
        _write_csv(name, output, force=force)
    elif table is not None and base is not None:
        _from_csv(table, base, output, force=force)
    elif file is not None:
        _check(file, as_json=as_json)
    elif name is not None:
        profile = load_profile(name)
        if as_json:
            click.echo(json.dumps(profile_view.profile_as_json(profile)))
        else:
            profile_view.print_profile(out, profile)
    else:
        known = [load_profile(entry) for entry in catalog()]
        if as_json:
            click.echo(json.dumps({"profiles": [profile_view.summary_as_json(profile) for profile in known]}))
        else:
            profile_view.print_catalog(out, known)


def _demand_sense(
    name: str | None,
    file: str | None,
    table: Path | None,
    base: str | None,
    output: Path | None,
    *,
    as_csv: bool,
    new: bool,
    as_json: bool,
) -> None:
    """Raises UsageError for options that exclude or need each other."""
    if as_csv and name is None:
        raise click.UsageError("--csv needs NAME")
    if table is not None and (name is not None or file is not None):
        raise click.UsageError("--from-csv excludes NAME and --check")
    if (table is None) != (base is None):
        raise click.UsageError("--from-csv FILE and --base go together")
    if new and (name is not None or file is not None or table is not None or as_csv):
        raise click.UsageError("--new stands alone")
    if output is not None and not (as_csv or new) and table is None:
        raise click.UsageError("-o is for --csv, --from-csv and --new")
    if as_json and (as_csv or new or table is not None):
        raise click.UsageError("--json excludes --csv, --from-csv and --new")


def _write_csv(name: str, output: Path | None, *, force: bool) -> None:
    from gateway.cli.profiles.csv_columns import as_csv, is_csv, left_out
    from gateway.devices.profile import load_profile

    profile = load_profile(name)
    _write(as_csv(profile), output, "CSV of points", is_csv, force=force)
    click.echo(f"the CSV has the points; not in it: {', '.join(left_out(profile))}", err=True)


def _from_csv(table: Path, base: str, output: Path | None, *, force: bool) -> None:
    from gateway.cli.profiles.csv_import import Refused, read_csv
    from gateway.cli.profiles.csv_profile import profile_text

    try:
        profile = read_csv(table, base)
    except Refused as refused:
        for sentence in refused.problems:
            click.echo(str(GatewayError(sentence)), err=True)
        raise GatewayError(Message("csv-refused", file=str(table), n=refused.lines)) from None
    _write(profile_text(profile, table), output, "profile (.toml)", _is_profile, force=force)
    click.echo(
        f"{len(profile.points)} points; fill in vendor, device and source, and take what holds of the commented keys: "
        "limits of reads, pauses, identity, codes for no value",
        err=True,
    )


def _write(text: str, output: Path | None, kind: str, is_such: Callable[[Path], bool], *, force: bool) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    demand_replaceable(output, kind, is_such, force=force)
    with output_to(output), whole_file(output) as file:
        file.write(text.encode())


def _is_profile(path: Path) -> bool:
    from gateway.devices.profile import parse_profile
    from ledger_client.text_file import NotText, text_of

    try:
        parse_profile(text_of(path.read_bytes()), "profile", str(path))
    except (GatewayError, NotText):
        return False
    return True


def _check(file: str, *, as_json: bool) -> None:
    from gateway.cli.profiles import trial_view
    from gateway.cli.profiles.trial import tried

    trial = tried(file)
    if as_json:
        click.echo(json.dumps(trial_view.as_json(trial)))
    else:
        trial_view.print_trial(out, trial)
    sys.exit(0 if trial.ok else 1)
