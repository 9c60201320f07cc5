"""Items of lists that a quiet site never shows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.api.lists import alarm_of
from gateway.api.shapes.models import json_of
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from ledger_client.times import rfc3339_ms

TIMES = ("since", "raised", "cleared", "acknowledged", "shelved_until")
AT_MS = 1_796_000_000_000


BARE = AlarmRow(7, "pv-1", "comms-lost", "line-1", "", AT_MS, AT_MS + 5)
OVER = replace(
    BARE, source=GATEWAY, cleared_ms=AT_MS, acked_ms=AT_MS, acked_by="vera", acked_note="seen", shelved_until_ms=AT_MS,
    shelved_by="vera", shelved_why="works", times=3,
)  # fmt: skip


@pytest.mark.parametrize("row", [BARE, OVER])
def test_an_alarm_has_whatever_the_board_knows_of_it(row: AlarmRow) -> None:
    row = row.saying(Message("alarm-cleared", kind=row.code))
    found = json.loads(json_of(alarm_of("site", row)))
    known = {key: value for key, value in row.as_json().items() if value is not None}
    known |= {key: rfc3339_ms(known[key]) for key in TIMES if key in known}
    assert found == {"gateway": "site", "active": row.active, **known}
