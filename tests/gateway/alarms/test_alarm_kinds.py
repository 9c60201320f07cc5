"""docs/alarms.md and the table of kinds say the same, and every alarm that the code tells of is in it."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.messages.alarm_kinds import _ALL, KINDS, AlarmCode, Kind
from ledger_client.formats import cbor

ROOT = Path(__file__).parents[3]
WHO = {"both": "operator, installer", "operator": "operator", "installer": "installer"}


def span(ms: int) -> str:
    for name, unit in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms and ms % unit == 0:
            return f"{ms // unit} {name}"
    return "at once"


def row(kind: Kind) -> str:
    """The line of docs/alarms.md about one kind."""
    cells = (
        f"`{kind.code}`", kind.severity, f"**{kind.title}**: {kind.meaning}",
        span(kind.on_delay_ms), span(kind.off_delay_ms), WHO[kind.audience], kind.advice,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def test_the_page_lists_each_kind_as_the_table_has_it() -> None:
    page = (ROOT / "docs" / "alarms.md").read_text().partition("## Kinds")[2].partition("## Orders")[0]
    listed = [line for line in page.splitlines() if line.startswith("| `")]
    assert listed == [row(kind) for kind in KINDS.values()]


def test_every_alarm_of_a_line_is_a_kind() -> None:
    source = (ROOT / "gateway" / "fieldbus" / "polling" / "line_alarms.py").read_text()
    assert {AlarmCode[name] for name in re.findall(r"self\._raise\(AlarmCode\.([A-Z_]+)", source)} == {
        "comms-lost", "line-down", "meter-exchanged", "meter-refuses", "stranger", "not-asked", "crc-rate",
        "wrong-answer", "two-devices", "line-overloaded",
    }  # fmt: skip
    heard = (ROOT / "gateway" / "fieldbus" / "listening" / "listen_alarms.py").read_text()
    assert {AlarmCode[name] for name in re.findall(r"self\._active\.put\(AlarmCode\.([A-Z_]+)", heard)} == {
        "comms-lost", "line-down", "interval", "meter-exchanged", "write-seen", "too-many-connections",
        "answers-doubtful",
    }  # fmt: skip
    assert len(re.findall(r"self\._raise\(", source)) == len(re.findall(r"self\._raise\(AlarmCode\.", source))


def test_every_code_has_its_kind_and_is_written_in_signed_events_as_plain_text() -> None:
    assert list(KINDS) == [str(code) for code in KINDS]
    assert set(KINDS) == set(AlarmCode)
    assert {code.name.lower().replace("_", "-") for code in AlarmCode} == {code.value for code in AlarmCode}
    for code in AlarmCode:
        assert cbor.encode({"code": code}) == cbor.encode({"code": code.value})


def test_each_has_a_code_of_its_own() -> None:
    assert len(_ALL) == len(KINDS)
