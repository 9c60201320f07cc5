"""Release of this build: its version, and the commit that it was built from."""

from __future__ import annotations

from typing import Any

import click


def release() -> str:
    """As ``0.1.0 (commit 6ff1d1e6a2b3)``; without the commit where it was not built from one (setup.py)."""
    from importlib import metadata, resources

    version, commit = metadata.version("meterseal"), resources.files("ledger_client") / "commit.txt"
    return f"{version} (commit {commit.read_text().strip()})" if commit.is_file() else version


def release_option(command: Any) -> Any:
    """Option ``--version`` of a command line, as ``click.version_option``."""

    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(f"{ctx.find_root().info_name}, version {release()}", color=ctx.color)
            ctx.exit()

    shown = click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show,
                         help="Show the version and exit.")  # fmt: skip
    return shown(command)
