"""Doctor check of commissioning: whether each meter is what its record says, and records that wait to be signed."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.commissioning.record import submit
from gateway.commissioning.record.as_recorded import differences
from gateway.commissioning.record.in_force import in_force
from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message


def commissioned(case: CheckContext) -> Iterator[Finding]:
    """Check every meter that has a commissioning record; a difference is a warning. Of the others nothing is said."""
    config = case.config
    for name, meter in config.meters.items():
        found = in_force(case.store, name) if case.store is not None else None
        if found is None:
            continue
        check, record = f"meter {name}", found.record
        if differ := differences(record, meter, config.configured[name], found.identity):
            said = Message("commissioned-otherwise", at_ms=record.at_ms, by=record.by, differences=differ, meter=name)
            yield Finding(check, "warn", said)
        else:
            yield Finding(check, "ok", Message("commissioned-as-recorded", at_ms=record.at_ms, by=record.by))
    for path in submit.waiting(config.data):
        waits = Message("commissioned-waits-reload") if case.pid is not None else Message("commissioned-waits-start")
        yield Finding("commissioning", "warn", Message("commissioned-file-waits", path=str(path), when=waits))
