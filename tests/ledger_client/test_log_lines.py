"""Log of a ledger or a bridge: foreign text in a message or a traceback neither ends a line nor turns one round."""

from __future__ import annotations

import logging
import sys

from ledger_client.log_lines import OneLine

TOPIC = "meterseal/\u202egnissim si gnihton\u202c/\u200f\u2066x\nERROR meterseal.ledger: forged\x1b[2J"


def test_a_topic_is_one_line_and_reads_as_it_was_written() -> None:
    event = logging.LogRecord("meterseal.ledger", logging.WARNING, __file__, 1, "topic %s", (TOPIC,), None)
    line = OneLine().format(event)
    assert line.isprintable()
    assert line.endswith(
        r"topic meterseal/\u202egnissim si gnihton\u202c/\u200f\u2066x\nERROR meterseal.ledger: forged\x1b[2J"
    )


def test_the_lines_of_a_traceback_are_printable() -> None:
    event = logging.LogRecord("meterseal.ledger", logging.ERROR, __file__, 1, "a fault\n  fix: tell us", None, None)
    try:
        raise ValueError("\u202ex")
    except ValueError:
        event.exc_info = sys.exc_info()
    first, *more = OneLine().format(event).split("\n")
    assert first.endswith("a fault; fix: tell us")
    assert more[-1] == r"ValueError: \u202ex"
    assert all(map(str.isprintable, more))
