"""Times on the command line: options that take one, and what clocks of the site show."""

from __future__ import annotations

import time
from datetime import tzinfo
from typing import Any

import click

from gateway.local_calendar import moment_of, written
from gateway.messages.message import Message


class _Time(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """A time as gateway/local_calendar.py reads it, kept as text until the site's zone is known."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is no time in any zone."""
        text = str(value)
        if written(text, _now_ms()) is None:
            self.fail(str(Message("moment-unreadable", text=text)), param, ctx)
        return text


TIME = _Time()
"""Type of an option or argument; ``time_ms`` makes Unix time of it."""


def time_ms(text: str, zone: tzinfo) -> int:
    """A time in Unix ms; one that clocks show twice is named with its second on standard error.

    Raises GatewayError: clocks of the zone skip it.
    """
    found = moment_of(text, zone, _now_ms())
    if found.note is not None:
        click.echo(str(found.note), err=True)
    return found.ms


def _now_ms() -> int:
    return int(time.time() * 1000)
