"""Command `meterseal profiles`: the catalog, one profile, or the trial of a profile."""

from __future__ import annotations

import json
import sys

import click

from gateway.cli.terminal.common import JSON, out


@click.command()
@click.argument("name", required=False)
@click.option(
    "--check",
    "file",
    metavar="FILE",
    help="Check FILE, a profile of your own: its rules, the reads and their time on the line, its provenance, and one "
    "poll of a simulated device.",
)
@JSON
def profiles(name: str | None, file: str | None, as_json: bool) -> None:
    """List the catalog of meters, or show the points of one profile.

    The column `provenance` counts points by how well their sources support them: seen (two independent sources),
    single, inferred, open. With --check exit code 1 if a plan or the simulated poll fails.
    """
    from gateway.cli.profiles import profile_view
    from gateway.devices.profile import catalog, load_profile

    if name is not None and file is not None:
        raise click.UsageError("NAME and --check FILE exclude each other")
    if file is not None:
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


def _check(file: str, *, as_json: bool) -> None:
    from gateway.cli.profiles import trial_view
    from gateway.cli.profiles.trial import tried

    trial = tried(file)
    if as_json:
        click.echo(json.dumps(trial_view.as_json(trial)))
    else:
        trial_view.print_trial(out, trial)
    sys.exit(0 if trial.ok else 1)
