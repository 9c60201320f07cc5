"""Option ``--trust`` of the commands that judge by a trust file: read, and in force now."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_dates import demand_in_force
from ledger_client.verification.trust_file import load_trust

_META: Final = "meterseal.expired-ok"


def _noted(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_META] = value


EXPIRED_OK = click.option(
    "--expired-ok", is_flag=True, expose_value=False, callback=_noted, help="warn of a trust file that has expired"
)
"""What ``load_in_force`` looks at; the command does not get it."""


def trusting(metavar: str = "TRUST.toml", **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a command that judges by a trust file: it gets ``trust_file``, for ``load_in_force``."""
    path = click.Path(path_type=Path)
    option = click.option("--trust", "trust_file", required=True, metavar=metavar, type=path, **more)
    return lambda command: option(EXPIRED_OK(command))


def load_in_force(path: Path) -> Trust:
    """The trust file at ``path``; what its dates give cause for goes to stderr. ``TrustFileError``: not in order, or
    expired, and ``--expired-ok`` is not given."""
    trust, meta = load_trust(path), click.get_current_context().meta
    for warning in demand_in_force(trust, int(time.time()), expired_ok=meta.get(_META, False)):
        if (once := f"{_META} {warning}") not in meta:
            meta[once] = True
            click.echo(f"warning: {trust.source}: {warning}", err=True)
    return trust
