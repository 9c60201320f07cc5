"""Doctor check of commissioning: meters that nobody has commissioned, whether each of the others is what its record
says, and records that wait to be signed."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.commissioning.record import submit
from gateway.commissioning.record.as_recorded import differences
from gateway.commissioning.record.configured import place_of
from gateway.commissioning.record.in_force import in_force
from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message


def commissioned(case: CheckContext) -> Iterator[Finding]:
    """Check every meter by its commissioning record; a difference is a warning, and so are meters without one."""
    config = case.config
    waiting = submit.waiting(config.data)
    never = []
    for name, meter in config.meters.items():
        found = in_force(case.store, name) if case.store is not None else None
        if found is None:
            never += [] if submit.waiting_path(config.data, name) in waiting else [name]
            continue
        check, record = f"meter {name}", found.record
        place = place_of(config, name)
        if differ := differences(record, meter, config.configured[name], found.identity, place):
            sentence = Message(
                "commissioned-otherwise", at_ms=record.at_ms, by=record.by, differences=differ, meter=name
            )
            yield Finding(check, "warn", sentence)
        else:
            yield Finding(check, "ok", Message("commissioned-as-recorded", at_ms=record.at_ms, by=record.by))
    if never:
        total, path = len(config.meters), str(config.path)
        sentence = Message("commissioned-never", n=len(never), total=total, meters=tuple(never), config=path)
        yield Finding("commissioning", "warn", sentence)
    for file in waiting:
        waits = Message("commissioned-waits-reload") if case.pid is not None else Message("commissioned-waits-start")
        yield Finding("commissioning", "warn", Message("commissioned-file-waits", path=str(file), when=waits))
