"""Refusals: how a command ends with what is wrong, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from firmware_sim.errors import SimError


@contextmanager
def refusing(*others: type[Exception]) -> Iterator[None]:
    """What is wrong is printed, and the command ends with 2: an error of the simulator, or of another kind."""
    kinds: tuple[type[Exception], ...] = (SimError, *others)
    try:
        yield
    except kinds as error:
        click.echo(f"meterseal-sim: {error}", err=True)
        sys.exit(2)
