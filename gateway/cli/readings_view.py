"""Readings as text: each reading's time, meter and record id, then its values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.devices.points import Profile
from gateway.status.readings import ReadingValue, points_of
from gateway.verdicts import shared_flags, verdict
from ledger_client.times import rfc3339_ms
from ledger_client.verification.value_words import quality_phrases

REVERSED = " reversed: as the meter says"


def print_readings(
    out: Console,
    values: Sequence[ReadingValue],
    profiles: Mapping[str, Profile] | None = None,
    turned: Collection[str] = (),
) -> None:
    """Readings for people.

    Args:
        out: where they are printed.
        values: of one reading after the other.
        profiles: by meter; they name the values of a status.
        turned: meters that hang the wrong way round, which are marked.
    """
    for record, group in groupby(values, key=lambda v: v.record):
        mine = list(group)
        mark = REVERSED if mine[0].meter in turned else ""
        out.print(Text(f"{rfc3339_ms(mine[0].time_ms)}  {mine[0].meter}", "bold"), f" record {record}{mark}")
        points, common = points_of((profiles or {}).get(mine[0].meter)), shared_flags([v.value for v in mine])
        table = Table.grid(padding=(0, 2), pad_edge=True)
        table.add_column()
        table.add_column(justify="right")
        for v in mine:
            table.add_row(v.value.name, v.named(points), v.value.unit or "", v.beside(common))
        out.print(table)
        print_common(out, common)


def print_common(out: Console, common: int) -> None:
    """What is true of all values of a reading, once."""
    if common:
        out.print(f"all values are {verdict(common)}: {', '.join(quality_phrases(common))}")
