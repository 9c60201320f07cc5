"""Status as text: meters, buffer, ledgers, feeds and problems, for `meterseal status`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.refused_view import listener_lines
from gateway.messages.languages import fix_in_language, in_language
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
        out.print(Text("problem:", "bold"), in_language(problem, "en"))
        if fix := fix_in_language(problem, "en"):
            out.print(f"  fix: {fix}")


def _meters(status: Status) -> Table:
    table = Table("meter", "last reading", "values", "quality", "missed since", box=None)
    for meter in status.meters:
        age = "never" if meter.age_s is None else f"{meter.age_s} s ago"
        name = f"{meter.name} (reversed)" if meter.reversed else meter.name
        table.add_row(name, age, str(meter.values), meter.verdict, _missed(meter))
    return table


def _missed(meter: MeterStatus) -> str:
    missed = ", ".join(f"{n} {reason}" for reason, n in meter.missed.items()) or "none"
    return missed + (f"; not asked: {', '.join(meter.not_asked)}" if meter.not_asked else "")


def _lines(status: Status) -> Iterator[str]:
    """The lines between the meters and the problems."""
    problems, waits = status.problems(), status.recording.sealing_waits
    yield from (in_language(closing.sentence, "en") for closing in status.closing)
    for listener in status.listening:
        yield from listener_lines(listener)
    totals = status.totals
    yield (
        f"{totals.records} records ({totals.readings} readings), {totals.batches} batches, "
        f"{status.unsealed} records not in a batch yet"
    )
    if status.forecast:
        yield f"space: {status.forecast.text}"
    for ledger in status.ledgers:
        yield f"ledger {ledger.name} ({ledger.policy}): {ledger.settled} batches anchored, {ledger.waiting} pending"
    yield from map(feed_line, status.feeds)
    if pages := status.dashboard:
        yield f"pages: {pages.address}" + (f", certificate SHA-256 {pages.fingerprint}" if pages.fingerprint else "")
    yield from (in_language(repair, "en") for repair in status.repairs if repair not in problems)
    if status.restored:
        yield status.restored.message.problem
    if waits and not status.conflicts and waits not in problems:
        yield in_language(waits, "en")
    for row in status.shelved:
        yield f"shelved by {row.shelved_by} until {rfc3339_ms(row.shelved_until_ms or 0)}: {row.text}"


def feed_line(feed: FeedStatus) -> str:
    """One feed in one line."""
    text = f"feed {feed.name} ({feed.type}): {in_language(feed.state, 'en')}, {feed.live} readings published live"
    if feed.waiting:
        text += f", {feed.waiting} waiting"
    return text + (f", {feed.left} to backfill" if feed.left else "")
