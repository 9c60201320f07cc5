"""Status as text: meters, buffer, ledgers, feeds and problems, for `meterseal status`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.status.status import FeedStatus, MeterStatus, Status
from ledger_client.times import rfc3339_ms


def print_status(out: Console, status: Status) -> None:
    """The status for people."""
    state = f"running (pid {status.pid})" if status.running else "not running"
    out.print(Text(status.gateway, "bold"), f" {state}")
    out.print(_meters(status))
    for line in _lines(status):
        out.print(line)
    for problem in status.problems():
        out.print(Text("look at this:", "bold"), problem)


def _meters(status: Status) -> Table:
    table = Table("meter", "last reading", "values", "quality", "missed since", box=None)
    for meter in status.meters:
        age = "never" if meter.age_s is None else f"{meter.age_s} s ago"
        table.add_row(meter.name, age, str(meter.values), meter.verdict, _missed(meter))
    return table


def _missed(meter: MeterStatus) -> str:
    missed = ", ".join(f"{n} {reason}" for reason, n in meter.missed.items()) or "none"
    return missed + (f"; not asked: {', '.join(meter.not_asked)}" if meter.not_asked else "")


def _lines(status: Status) -> Iterator[str]:
    """What follows the meters, line by line, down to the problems."""
    problems, waits = status.problems(), status.recording.sealing_waits
    yield from (closing.text for closing in status.closing)
    totals = status.totals
    yield (
        f"{totals.records} records ({totals.readings} readings), {totals.batches} batches, "
        f"{status.unsealed} records in none yet"
    )
    if status.forecast:
        yield f"room: {status.forecast.text}"
    for ledger in status.ledgers:
        yield f"ledger {ledger.name} ({ledger.policy}): {ledger.settled} batches anchored, {ledger.waiting} waiting"
    yield from map(feed_line, status.feeds)
    if pages := status.dashboard:
        yield f"pages: {pages.address}" + (f", certificate SHA-256 {pages.fingerprint}" if pages.fingerprint else "")
    yield from (text for text in status.repairs if text not in problems)
    if status.restored:
        yield status.restored.text
    if waits and not status.conflicts and waits not in problems:
        yield waits
    for row in status.shelved:
        yield f"shelved by {row.shelved_by} until {rfc3339_ms(row.shelved_until_ms or 0)}: {row.text}"


def feed_line(feed: FeedStatus) -> str:
    """One feed in one line."""
    text = f"feed {feed.name} ({feed.type}): {feed.state}, {feed.live} readings told live"
    if feed.waiting:
        text += f", {feed.waiting} waiting"
    return text + (f", {feed.left} to be told as history" if feed.left else "")
